internal import Foundation
internal import Synchronization
internal import Tensors

/// The hash of a model's bytes, remembered for as long as its files keep their size and time of change.
enum SourceHash {
  /// - Parameters:
  ///   - path: a file, or a folder whose files count.
  ///   - memo: a folder in which hashes are remembered.
  /// - Returns: 32 hexadecimal digits; nil when something cannot be read.
  static func of(_ path: String, memo: String) -> String? {
    // Parts of a model that are loaded at once ask for the same file: the second finds what the first has noted.
    turn.withLock { _ in found(path, memo: memo) }
  }

  private static let turn = Mutex(())

  private static func found(_ path: String, memo: String) -> String? {
    guard let files = files(of: path), !files.isEmpty else { return nil }
    var stamp = ""
    for file in files {
      var status = stat()
      guard stat(file, &status) == 0, status.st_mode & S_IFMT == S_IFREG else { return nil }
      let time = status.st_mtim
      stamp += "\(file) \(status.st_ino) \(status.st_size) \(time.tv_sec).\(time.tv_nsec)\n"
    }
    let note = "\(memo)/\(hash(path)).stamp"
    let known = FileManager.default.contents(atPath: note).map { String(decoding: $0, as: UTF8.self) } ?? ""
    if known.hasPrefix(stamp), known.utf8.count == stamp.utf8.count + 32 { return String(known.suffix(32)) }
    var hasher = Hash()
    for file in files where !hasher.add(contentsOf: file) { return nil }
    let result = hasher.text
    try? FileManager.default.createDirectory(atPath: memo, withIntermediateDirectories: true)
    // What was made from the files as they were before serves no one any more.
    let old = String(known.suffix(32))
    if old.utf8.count == 32, old != result {
      for name in (try? FileManager.default.contentsOfDirectory(atPath: memo)) ?? [] where name.hasPrefix(old) {
        unlink("\(memo)/\(name)")
      }
    }
    try? Data((stamp + result).utf8).write(to: URL(fileURLWithPath: note), options: .atomic)
    return result
  }

  private static func files(of path: String) -> [String]? {
    var isFolder: ObjCBool = false
    guard FileManager.default.fileExists(atPath: path, isDirectory: &isFolder) else { return nil }
    guard isFolder.boolValue else { return [path] }
    let kinds = [".safetensors", ".pth", ".pt", ".bin", ".gguf"]
    let names = try? FileManager.default.contentsOfDirectory(atPath: path)
    return names?.filter { name in kinds.contains { name.hasSuffix($0) } }.sorted().map { "\(path)/\($0)" }
  }

  private static func hash(_ text: String) -> String {
    var hasher = Hash()
    Array(text.utf8).withUnsafeBytes { hasher.add($0) }
    return hasher.text
  }

  /// Tells files apart; no match for whoever wants two to collide.
  private struct Hash {
    // Four lanes, so that multiplications overlap.
    private var lanes: SIMD4<UInt64> = [
      0x9e37_79b9_7f4a_7c15, 0xbf58_476d_1ce4_e5b9, 0x94d0_49bb_1331_11eb, 0xd6e8_feb8_6659_fd93,
    ]
    private var length: UInt64 = 0

    /// Read, not mapped: pages of a file that is mapped count as the process's memory. False when that cannot be.
    mutating func add(contentsOf file: String) -> Bool {
      let descriptor = open(file, O_RDONLY | O_CLOEXEC)
      guard descriptor >= 0 else { return false }
      defer { close(descriptor) }
      let piece = UnsafeMutableRawBufferPointer.allocate(byteCount: 1 << 20, alignment: 64)
      defer { piece.deallocate() }
      var total: UInt64 = 0
      while true {
        var count = 0
        while count < piece.count {
          let got = read(descriptor, piece.baseAddress.map { $0 + count }, piece.count - count)
          if got < 0 && errno == EINTR { continue }
          guard got >= 0 else { return false }
          if got == 0 { break }
          count += got
        }
        add(UnsafeRawBufferPointer(rebasing: piece[..<count]))
        total += UInt64(count)
        guard count == piece.count else { return total > 0 }
      }
    }

    mutating func add(_ bytes: UnsafeRawBufferPointer) {
      length &+= UInt64(bytes.count)
      var offset = 0
      while offset + 32 <= bytes.count {
        mix(bytes.loadUnaligned(fromByteOffset: offset, as: SIMD4<UInt64>.self))
        offset += 32
      }
      var last: SIMD4<UInt64> = .zero
      withUnsafeMutableBytes(of: &last) { $0.copyBytes(from: bytes[offset...]) }
      mix(last &+ SIMD4(repeating: length))
    }

    private mutating func mix(_ value: SIMD4<UInt64>) {
      lanes = (lanes ^ value) &* 0x9fb2_1c65_1e98_df25
      lanes ^= lanes &>> 29
    }

    var text: String {
      let high = (lanes[0] ^ (lanes[1] &* 0xff51_afd7_ed55_8ccd)) &* 0xc4ce_b9fe_1a85_ec53
      let low = (lanes[2] ^ (lanes[3] &* 0xff51_afd7_ed55_8ccd) ^ length) &* 0xc4ce_b9fe_1a85_ec53
      return [high ^ high >> 31, low ^ low >> 31].map { value in
        let digits = String(value, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
      }.joined()
    }
  }
}
