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

/// Takes a message apart into fields and buffers.
public struct MessageEncoder: Sendable {
  package private(set) var fields: [UInt8] = []
  package private(set) var buffers: [WireBuffer] = []

  package init() {}

  package mutating func reset() {
    if !fields.isEmpty { fields.removeAll(keepingCapacity: true) }
    while !buffers.isEmpty { buffers.removeLast() }
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
