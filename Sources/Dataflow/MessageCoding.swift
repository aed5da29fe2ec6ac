/// A message on the wire that is not what its type says.
public struct MessageCodingError: Error, Sendable, CustomStringConvertible {
  public let description: String
  public init(_ description: String) { self.description = description }
}

/// How a buffer's elements are written.
public enum ElementType: UInt8, Sendable {
  case uint8 = 1
  case int16 = 2
  case int32 = 3
  case float32 = 4
  case bfloat16 = 5

  /// Bytes per element.
  public var stride: Int {
    switch self {
    case .uint8: 1
    case .int16, .bfloat16: 2
    case .int32, .float32: 4
    }
  }
}

/// A Swift type that a buffer may hold.
public protocol BufferElement: BitwiseCopyable, Sendable {
  static var elementType: ElementType { get }
}
extension UInt8: BufferElement { public static var elementType: ElementType { .uint8 } }
extension Int16: BufferElement { public static var elementType: ElementType { .int16 } }
extension Int32: BufferElement { public static var elementType: ElementType { .int32 } }
extension Float: BufferElement { public static var elementType: ElementType { .float32 } }

/// An array on its way to or from the wire: element type, shape and bytes.
public struct WireBuffer: @unchecked Sendable {
  // @unchecked: the bytes are never written, and `owner` keeps them alive.
  public let elementType: ElementType
  public let shape: [Int]
  package let bytes: UnsafeRawBufferPointer
  package let owner: any AnyObject & Sendable

  package init(
    elementType: ElementType, shape: [Int], bytes: UnsafeRawBufferPointer, owner: any AnyObject & Sendable
  ) {
    self.elementType = elementType
    self.shape = shape
    self.bytes = bytes
    self.owner = owner
  }
}

/// Takes a message apart into fields and buffers.
public struct MessageEncoder: Sendable {
  package private(set) var fields: [UInt8] = []
  package private(set) var buffers: [WireBuffer] = []

  package init() {}

  package mutating func reset() {
    if !fields.isEmpty { fields.removeAll(keepingCapacity: true) }
    if !buffers.isEmpty { buffers.removeAll(keepingCapacity: true) }
  }

  public mutating func put(_ value: some FixedWidthInteger) {
    withUnsafeBytes(of: value.littleEndian) { fields.append(contentsOf: $0) }
  }

  public mutating func put(_ value: Float) { put(value.bitPattern) }

  /// UTF-8, its length in bytes before it as 32 bits.
  public mutating func put(_ text: String) {
    put(UInt32(text.utf8.count))
    fields.append(contentsOf: text.utf8)
  }

  /// The product of `shape` must be the buffer's count.
  public mutating func put<E: BufferElement>(_ buffer: SharedBuffer<E>, shape: [Int]) {
    let (bytes, owner) = buffer.memory
    buffers.append(WireBuffer(elementType: E.elementType, shape: shape, bytes: bytes, owner: owner))
  }
}

/// Puts a message together again; every read is checked.
public struct MessageDecoder {
  private var fields: UnsafeRawBufferPointer.SubSequence
  private var buffers: ArraySlice<WireBuffer>

  /// `fields` is read only while the decoder lives.
  package init(fields: UnsafeRawBufferPointer, buffers: [WireBuffer]) {
    self.fields = fields[...]
    self.buffers = buffers[...]
  }

  public mutating func take<I: FixedWidthInteger>(_: I.Type = I.self) throws(MessageCodingError) -> I {
    let size = MemoryLayout<I>.size
    guard fields.count >= size else { throw MessageCodingError("the fields end too early") }
    let value = UnsafeRawBufferPointer(rebasing: fields.prefix(size)).loadUnaligned(as: I.self)
    fields = fields.dropFirst(size)
    return I(littleEndian: value)
  }

  public mutating func takeFloat() throws(MessageCodingError) -> Float { Float(bitPattern: try take()) }

  public mutating func takeString() throws(MessageCodingError) -> String {
    let length = Int(try take(UInt32.self))
    guard fields.count >= length else { throw MessageCodingError("a text of \(length) bytes ends too early") }
    guard let text = String(validating: fields.prefix(length), as: UTF8.self) else {
      throw MessageCodingError("a text is not UTF-8")
    }
    fields = fields.dropFirst(length)
    return text
  }

  /// The next buffer, which must hold `E` and have `rank` dimensions.
  public mutating func takeBuffer<E: BufferElement>(
    of _: E.Type, rank: Int
  ) throws(MessageCodingError) -> (elements: SharedBuffer<E>, shape: [Int]) {
    guard let buffer = buffers.popFirst() else { throw MessageCodingError("a buffer is missing") }
    guard buffer.elementType == E.elementType, buffer.shape.count == rank else {
      throw MessageCodingError(
        "a buffer holds \(buffer.elementType) of rank \(buffer.shape.count), not \(E.elementType) of rank \(rank)")
    }
    guard let elements = SharedBuffer<E>(adopting: buffer.bytes, owner: buffer.owner),
      elements.count == buffer.shape.reduce(1, *)
    else { throw MessageCodingError("a buffer's size does not fit its shape \(buffer.shape)") }
    return (elements, buffer.shape)
  }

  /// Nothing may be left over.
  package func finish() throws(MessageCodingError) {
    guard fields.isEmpty, buffers.isEmpty else { throw MessageCodingError("there is more than the type defines") }
  }
}
