/// Numbers in one piece of memory that many may read and nobody writes.
///
/// Handing one on costs a reference count, whether it goes to the next node in this process or, through ZeroMQ, to
/// another one; what arrives from the wire is adopted where it lies. Elements are little-endian, as on the wire.
public struct SharedBuffer<Element: BitwiseCopyable & Sendable>: @unchecked Sendable {
  // @unchecked: the memory is never written after it was filled, and `owner` keeps it alive.
  private let owner: AnyObject
  private let start: UnsafePointer<Element>
  public let count: Int

  /// Copies the elements.
  public init(_ elements: some Collection<Element>) {
    self.init(count: elements.count) { target in _ = target.initialize(from: elements) }
  }

  /// Lets `fill` write every element of fresh memory.
  public init(count: Int, fill: (UnsafeMutableBufferPointer<Element>) throws -> Void) rethrows {
    let (owner, base) = BufferStorage.make(bytes: count * MemoryLayout<Element>.stride)
    let typed = base.bindMemory(to: Element.self, capacity: count)
    try fill(UnsafeMutableBufferPointer(start: typed, count: count))
    self.init(owner: owner, start: UnsafePointer(typed), count: count)
  }

  private init(owner: AnyObject, start: UnsafePointer<Element>, count: Int) {
    self.owner = owner
    self.start = start
    self.count = count
  }

  /// Copies raw bytes, a whole number of elements.
  init(copying bytes: UnsafeRawBufferPointer) {
    self.init(count: bytes.count / MemoryLayout<Element>.stride) { target in
      UnsafeMutableRawBufferPointer(target).copyMemory(from: bytes)
    }
  }

  /// Reads raw bytes where they lie, as long as `owner` lives; copies them if they are not aligned.
  ///
  /// - Returns: nil if the bytes are not a whole number of elements.
  package init?(adopting bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    let (count, rest) = bytes.count.quotientAndRemainder(dividingBy: MemoryLayout<Element>.stride)
    guard rest == 0 else { return nil }
    if let base = bytes.baseAddress, UInt(bitPattern: base) % UInt(MemoryLayout<Element>.alignment) == 0 {
      self.init(owner: owner, start: base.assumingMemoryBound(to: Element.self), count: count)
    } else {
      self.init(copying: bytes)
    }
  }

  public func withUnsafeBufferPointer<R>(_ body: (UnsafeBufferPointer<Element>) throws -> R) rethrows -> R {
    defer { extendLifetime(owner) }
    return try body(UnsafeBufferPointer(start: start, count: count))
  }

  /// The bytes, and the object that must be kept for as long as they are read.
  package var memory: (bytes: UnsafeRawBufferPointer, owner: AnyObject) {
    (UnsafeRawBufferPointer(start: start, count: count * MemoryLayout<Element>.stride), owner)
  }
}

extension SharedBuffer: RandomAccessCollection {
  public var startIndex: Int { 0 }
  public var endIndex: Int { count }
  public subscript(position: Int) -> Element {
    precondition(position >= 0 && position < count, "index out of range")
    return withUnsafeBufferPointer { $0[position] }
  }
  public func withContiguousStorageIfAvailable<R>(
    _ body: (UnsafeBufferPointer<Element>) throws -> R
  ) rethrows -> R? {
    try withUnsafeBufferPointer(body)
  }
}

extension SharedBuffer: Equatable where Element: Equatable {
  public static func == (a: Self, b: Self) -> Bool { a.elementsEqual(b) }
}

/// Memory of a ``SharedBuffer`` that was made here.
private final class BufferStorage {
  let base: UnsafeMutableRawPointer

  private init(bytes: Int) { base = .allocate(byteCount: bytes, alignment: 64) }

  deinit { base.deallocate() }

  /// Whole cache lines, which vector units like, are worth asking for only where there are several; a short buffer lies
  /// in its owner's own allocation.
  static func make(bytes: Int) -> (owner: AnyObject, base: UnsafeMutableRawPointer) {
    if bytes < 512 {
      let storage = ShortStorage.make(bytes: bytes)
      return (storage, storage.withUnsafeMutablePointerToElements { UnsafeMutableRawPointer($0) })
    }
    let storage = BufferStorage(bytes: bytes)
    return (storage, storage.base)
  }

  private final class ShortStorage: ManagedBuffer<Void, SIMD2<UInt64>> {
    static func make(bytes: Int) -> ShortStorage {
      unsafeDowncast(create(minimumCapacity: (bytes + 15) / 16) { _ in () }, to: ShortStorage.self)
    }
  }
}
