#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// A file that cannot be mapped into memory.
package struct MappingError: Error {
  package let path: String
  /// The system's reason.
  package let reason: String
}

/// Bytes that never change: a file mapped into memory, or an allocation filled once.
// @unchecked: the memory is written before `init` returns and only read afterwards, until the last owner frees it.
package final class Bytes: @unchecked Sendable {
  package let start: UnsafeRawPointer
  package let count: Int
  private let origin: Origin

  /// Who gave the memory, and takes it back.
  private enum Origin { case mapped, allocated, reserved }

  /// Maps a whole file. Pages are read when first touched and shared among processes.
  package init(mapping path: String) throws(MappingError) {
    let descriptor = open(path, O_RDONLY | O_CLOEXEC)
    guard descriptor >= 0 else { throw MappingError(path: path, reason: Self.systemReason()) }
    defer { close(descriptor) }
    var status = stat()
    guard fstat(descriptor, &status) == 0 else { throw MappingError(path: path, reason: Self.systemReason()) }
    guard status.st_mode & S_IFMT == S_IFREG else { throw MappingError(path: path, reason: "not a regular file") }
    guard status.st_size > 0 else { throw MappingError(path: path, reason: "the file is empty") }
    count = Int(status.st_size)
    let address = mmap(nil, count, PROT_READ, MAP_PRIVATE, descriptor, 0)
    guard let address, address != MAP_FAILED else {
      throw MappingError(path: path, reason: Self.systemReason())
    }
    start = UnsafeRawPointer(address)
    origin = .mapped
  }

  /// Floats computed at load time: `fill` gets `count` of them, zeroed.
  package init(floats count: Int, fill: (UnsafeMutablePointer<Float>) -> Void) {
    let memory = UnsafeMutableRawPointer.allocate(byteCount: max(count, 1) * 4, alignment: 64)
    let floats = memory.bindMemory(to: Float.self, capacity: max(count, 1))
    floats.initialize(repeating: 0, count: max(count, 1))
    fill(floats)
    start = UnsafeRawPointer(memory)
    self.count = count * 4
    origin = .allocated
  }

  /// Bytes computed at load time, of a size that a file decides: `fill` gets `count` of them, not initialised, and
  /// writes them all. Nil when the system has not that much memory.
  package init?(reserving count: Int, fill: (UnsafeMutableRawPointer) -> Void) {
    var memory: UnsafeMutableRawPointer?
    guard count >= 0, posix_memalign(&memory, 64, max(count, 1)) == 0, let memory else { return nil }
    fill(memory)
    start = UnsafeRawPointer(memory)
    self.count = count
    origin = .reserved
  }

  /// Tells the system that a part of a mapped file is not needed soon; it is read again when it is touched.
  func release(_ range: Range<Int>) {
    guard case .mapped = origin else { return }
    let page = Int(sysconf(Int32(_SC_PAGESIZE)))
    let (first, last) = ((range.lowerBound + page - 1) / page * page, range.upperBound / page * page)
    if first < last { madvise(UnsafeMutableRawPointer(mutating: start + first), last - first, MADV_DONTNEED) }
  }

  deinit {
    let memory = UnsafeMutableRawPointer(mutating: start)
    switch origin {
    case .mapped: munmap(memory, count)
    case .allocated: memory.deallocate()
    case .reserved: free(memory)
    }
  }

  private static func systemReason() -> String { String(cString: strerror(errno)) }
}

/// Floats that a runner writes: activations, caches. Aligned for the widest vectors, not initialised: pages that are
/// never written cost no memory.
package final class Floats {
  package let start: UnsafeMutablePointer<Float>
  package let count: Int
  private let isReserved: Bool

  package init(_ count: Int) {
    self.count = max(count, 1)
    start = UnsafeMutableRawPointer.allocate(byteCount: self.count * 4, alignment: 64)
      .bindMemory(to: Float.self, capacity: self.count)
    isReserved = false
  }

  /// For sizes that a file decides: nil when the system has not that much memory.
  package init?(reserving count: Int) {
    self.count = max(count, 1)
    var memory: UnsafeMutableRawPointer?
    guard self.count <= Int.max / 8, posix_memalign(&memory, 64, self.count * 4) == 0, let memory else { return nil }
    start = memory.bindMemory(to: Float.self, capacity: self.count)
    isReserved = true
  }

  deinit { if isReserved { free(start) } else { start.deallocate() } }
}
