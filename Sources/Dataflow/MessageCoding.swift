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
package struct WireBuffer: @unchecked Sendable {
  // @unchecked: the bytes are never written, and `owner` keeps them alive.
  package let elementType: ElementType
  package let shape: Shape
  package let bytes: UnsafeRawBufferPointer
  package let owner: AnyObject

  /// Extents, the outermost first. One alone needs no memory of its own: most buffers are vectors.
  package enum Shape: Sendable {
    case vector(Int)
    case array([Int])

    package var rank: Int {
      switch self {
      case .vector: 1
      case .array(let extents): extents.count
      }
    }

    package subscript(dimension: Int) -> Int {
      switch self {
      case .vector(let count): count
      case .array(let extents): extents[dimension]
      }
    }

    package var extents: [Int] {
      switch self {
      case .vector(let count): [count]
      case .array(let extents): extents
      }
    }
  }

  package init(
    elementType: ElementType, shape: Shape, bytes: UnsafeRawBufferPointer, owner: AnyObject
  ) {
    self.elementType = elementType
    self.shape = shape
    self.bytes = bytes
    self.owner = owner
  }
}

/// The buffers of a message. One alone, which is the usual case, needs no memory of its own.
package struct WireBuffers: Sendable {
  private var first: WireBuffer?
  private var others: [WireBuffer] = []

  package init() {}

  package var count: Int { first == nil ? 0 : 1 + others.count }
  package var isEmpty: Bool { first == nil }

  package mutating func append(_ buffer: WireBuffer) {
    if first == nil { first = buffer } else { others.append(buffer) }
  }

  package mutating func popFirst() -> WireBuffer? {
    guard let buffer = first.take() else { return nil }
    if !others.isEmpty { first = others.removeFirst() }
    return buffer
  }

  @inline(__always)
  package func forEach(_ body: (borrowing WireBuffer) -> Void) {
    guard let first else { return }
    body(first)
    for buffer in others { body(buffer) }
  }
}

/// Takes a message apart into fields and buffers.
public struct MessageEncoder: Sendable {
  package private(set) var fields: [UInt8] = []
  package private(set) var buffers = WireBuffers()

  package init() {}

  package mutating func reset() {
    if !fields.isEmpty { fields.removeAll(keepingCapacity: true) }
    buffers = WireBuffers()
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

  /// A vector.
  public mutating func put<E: BufferElement>(_ buffer: SharedBuffer<E>) { put(buffer, .vector(buffer.count)) }

  /// The product of `shape` must be the buffer's count.
  public mutating func put<E: BufferElement>(_ buffer: SharedBuffer<E>, shape: [Int]) { put(buffer, .array(shape)) }

  private mutating func put<E: BufferElement>(_ buffer: SharedBuffer<E>, _ shape: WireBuffer.Shape) {
    let (bytes, owner) = buffer.memory
    buffers.append(WireBuffer(elementType: E.elementType, shape: shape, bytes: bytes, owner: owner))
  }
}

/// Puts a message together again; every read is checked.
public struct MessageDecoder {
  private var fields: UnsafeRawBufferPointer.SubSequence
  private var buffers: WireBuffers

  /// `fields` is read only while the decoder lives.
  package init(fields: UnsafeRawBufferPointer, buffers: WireBuffers) {
    self.fields = fields[...]
    self.buffers = buffers
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
    let elements = try elements(of: buffer, as: E.self, rank: rank)
    return (elements, buffer.shape.extents)
  }

  /// The next buffer, which must be a vector of `E`.
  public mutating func takeVector<E: BufferElement>(of _: E.Type) throws(MessageCodingError) -> SharedBuffer<E> {
    guard let buffer = buffers.popFirst() else { throw MessageCodingError("a buffer is missing") }
    return try elements(of: buffer, as: E.self, rank: 1)
  }

  private func elements<E: BufferElement>(
    of buffer: WireBuffer, as _: E.Type, rank: Int
  ) throws(MessageCodingError) -> SharedBuffer<E> {
    guard buffer.elementType == E.elementType, buffer.shape.rank == rank else {
      throw MessageCodingError(
        "a buffer holds \(buffer.elementType) of rank \(buffer.shape.rank), not \(E.elementType) of rank \(rank)")
    }
    // The product cannot overflow: whoever made the buffer has compared it with the bytes there are.
    guard let elements = SharedBuffer<E>(adopting: buffer.bytes, owner: buffer.owner),
      elements.count == (0..<rank).reduce(1, { $0 * buffer.shape[$1] })
    else { throw MessageCodingError("a buffer's size does not fit its shape \(buffer.shape.extents)") }
    return elements
  }

  /// Nothing may be left over.
  package func finish() throws(MessageCodingError) {
    guard fields.isEmpty, buffers.isEmpty else { throw MessageCodingError("there is more than the type defines") }
  }
}
