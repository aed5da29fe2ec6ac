import Foundation
import ModelKit

/// Something that runs a stage when it is told to.
protocol Contestant: AnyObject {
  var name: String { get }
  /// - Returns: the seconds that each run took.
  func run(_ count: Int) throws -> [Double]
}

/// A peer's stage in a Python process of its own, which loads it once and waits for its turns without spinning.
final class PeerWorker: Contestant {
  let peer: Peer
  private let process = Process()
  private let requests = Pipe()
  private let answers = Pipe()
  /// What has been read of the next answer.
  private var unread = Data()

  var name: String { peer.name }

  /// The folder that `tools/bench peers` fills.
  static var folder: String { ModelFolder.cache + "/peers" }

  private struct Load: Encodable {
    var peer, stage, kind: String
    var build: String?
    var threads: Int
    var models: String
  }
  private struct Run: Encodable { var runs: Int }
  private struct Answer: Decodable {
    var error: String?
    var seconds: [Double]?
  }

  /// A peer that loads too long, or computes too long, has failed.
  private static let patience: Int32 = 300
  private static let longestAnswer = 1 << 20

  /// Starts the process and loads the stage.
  ///
  /// - Parameter scripts: the folder of `worker.py`.
  /// - Throws: ``BenchError``, with why the peer cannot be had.
  init(_ peer: Peer, threads: Int, python: String = folder + "/bin/python", scripts: String) throws {
    self.peer = peer
    guard FileManager.default.isExecutableFile(atPath: python) else {
      throw BenchError("\(python) is not there; run: tools/bench peers")
    }
    signal(SIGPIPE, SIG_IGN)
    process.executableURL = URL(fileURLWithPath: python)
    process.arguments = [scripts + "/worker.py"]
    process.standardInput = requests
    process.standardOutput = answers
    process.standardError = FileHandle.nullDevice
    try process.run()
    let load = Load(
      peer: peer.library, stage: peer.stage, kind: peer.kind, build: peer.build, threads: threads,
      models: Self.folder + "/models")
    _ = try ask(load)
  }

  deinit { stop() }

  func run(_ count: Int) throws -> [Double] {
    guard let seconds = try ask(Run(runs: count)).seconds, seconds.count == count else {
      throw BenchError("\(name) did not tell \(count) times")
    }
    return seconds
  }

  /// Ends the process and frees what it holds. Not by a signal that it may have inherited as blocked.
  private func stop() {
    guard process.isRunning else { return }
    kill(process.processIdentifier, SIGKILL)
    process.waitUntilExit()
  }

  private func ask(_ request: some Encodable) throws -> Answer {
    try requests.fileHandleForWriting.write(contentsOf: JSONEncoder().encode(request) + Data("\n".utf8))
    let answer = try JSONDecoder().decode(Answer.self, from: try line())
    if let error = answer.error { throw BenchError("\(name): \(error)") }
    return answer
  }

  private func line() throws -> Data {
    while true {
      if let end = unread.firstIndex(of: UInt8(ascii: "\n")) {
        defer { unread = Data(unread[(end + 1)...]) }
        return Data(unread[..<end])
      }
      guard unread.count < Self.longestAnswer else { throw BenchError("\(name) does not end its answer") }
      var ready = pollfd(fd: answers.fileHandleForReading.fileDescriptor, events: Int16(POLLIN), revents: 0)
      guard poll(&ready, 1, Self.patience * 1000) > 0 else {
        throw BenchError("\(name) has not answered for \(Self.patience) s")
      }
      let more = answers.fileHandleForReading.availableData
      guard !more.isEmpty else { throw BenchError("\(name) ended without an answer") }
      unread += more
    }
  }
}
