import Foundation
import Synchronization

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

/// Standard output for results, standard error for everything else. Each has a lock of its own, so that a reader of the
/// one who does not read cannot keep the other from being written.
enum Console {
  private struct Screen {
    /// What stands in the terminal's last line and will be overwritten.
    var status = ""
  }
  private static let screen = Mutex(Screen())
  private static let output = Mutex(())
  private static let isTerminal = isatty(STDERR_FILENO) == 1

  /// A result.
  static func result(_ text: String) {
    screen.withLock { clear(&$0) }
    output.withLock { _ in write(text + "\n", to: STDOUT_FILENO) }
  }

  /// A line for the user.
  static func say(_ text: String) {
    screen.withLock { screen in
      clear(&screen)
      write(text + "\n", to: STDERR_FILENO)
    }
  }

  /// A line before the process ends; left out if standard error would not take it at once.
  static func lastWord(_ text: String) {
    var standardError = pollfd(fd: STDERR_FILENO, events: Int16(POLLOUT), revents: 0)
    guard poll(&standardError, 1, 0) > 0 else { return }
    // A pipe that has room has it for a short line.
    screen.withLockIfAvailable { screen in
      clear(&screen)
      write(text + "\n", to: STDERR_FILENO)
    }
  }

  /// Something that changes: on a terminal it overwrites itself, elsewhere only what is `final` is written.
  static func status(_ text: String, final: Bool = false) {
    screen.withLock { screen in
      if isTerminal {
        let line = String(text.suffix(columns - 1))
        write("\r\u{1b}[K" + line + (final ? "\n" : ""), to: STDERR_FILENO)
        screen.status = final ? "" : line
      } else if final {
        write(text + "\n", to: STDERR_FILENO)
      }
    }
  }

  private static var columns: Int {
    var size = winsize()
    return ioctl(STDERR_FILENO, UInt(TIOCGWINSZ), &size) == 0 && size.ws_col > 20 ? Int(size.ws_col) : 80
  }

  private static func clear(_ screen: inout Screen) {
    if !screen.status.isEmpty { write("\r\u{1b}[K", to: STDERR_FILENO) }
    screen.status = ""
  }

  /// Writes all of it; a closed pipe is nobody's fault here.
  private static func write(_ text: String, to descriptor: Int32) {
    var rest = Array(text.utf8)[...]
    while !rest.isEmpty {
      let count = rest.withUnsafeBytes { Foundation.write(descriptor, $0.baseAddress, $0.count) }
      if count < 0 && errno != EINTR { return }
      rest = rest.dropFirst(max(count, 0))
    }
  }
}
