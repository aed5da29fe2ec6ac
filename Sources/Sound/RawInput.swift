internal import Glibc

/// Raw sound on standard input: signed 16 bits, little-endian, mono.
package final class RawInput: SampleSource {
  package let rate: Int
  private let isStopping: () -> Bool
  private var bytes: [UInt8] = []
  private var isAtEnd = false

  /// - Parameter isStopping: asked while nothing comes in, so that a silent pipe does not hold up the end of a run.
  package init(rate: Int, isStopping: @escaping () -> Bool) {
    self.rate = rate
    self.isStopping = isStopping
  }

  package func read(into target: inout [Float]) throws(AudioFileError) -> Int {
    while bytes.count < target.count * 2, !isAtEnd { try fill(upTo: target.count * 2) }
    let count = min(target.count, bytes.count / 2)
    for index in 0..<count {
      target[index] = Float(Int16(truncatingIfNeeded: Int(bytes[2 * index]) | Int(bytes[2 * index + 1]) << 8)) / 32_768
    }
    bytes.removeFirst(count * 2)
    return count
  }

  private func fill(upTo size: Int) throws(AudioFileError) {
    var poller = pollfd(fd: STDIN_FILENO, events: Int16(POLLIN), revents: 0)
    let ready = poll(&poller, 1, 50)
    if isStopping() {
      isAtEnd = true
      return
    }
    if ready == 0 || (ready < 0 && errno == EINTR) { return }
    var block = [UInt8](repeating: 0, count: size - bytes.count)
    let got = Glibc.read(STDIN_FILENO, &block, block.count)
    if got > 0 {
      bytes.append(contentsOf: block[..<got])
    } else if got == 0 {
      isAtEnd = true
    } else if errno != EINTR && errno != EAGAIN {
      throw AudioFileError(
        path: "-", problem: String(cString: strerror(errno)), fix: "pipe raw 16-bit mono sound into the command")
    }
  }
}
