#if Images
  import Dataflow
  import DataflowRuntime
  import DataflowTesting
  import Foundation
  import ImageCapture
  import Messages
  import Testing

  /// A folder for a test's files, gone when the test is.
  private final class Folder {
    let url = FileManager.default.temporaryDirectory.appendingPathComponent("antiphon-test-\(UUID().uuidString)")
    init() throws { try FileManager.default.createDirectory(at: url, withIntermediateDirectories: true) }
    deinit { try? FileManager.default.removeItem(at: url) }
    func path(_ name: String) -> String { url.appendingPathComponent(name).path }
    func write(_ data: Data, as name: String) throws -> String {
      try data.write(to: url.appendingPathComponent(name))
      return path(name)
    }
  }

  /// Small pictures of every kind, and what Pillow reads from them (`tools/golden.d/pictures.py`).
  private enum Pictures {
    struct Expected: Decodable {
      var width: Int
      var height: Int
      var channels: Int
      var pixels: Data
      var shape: [Int] { [width, height, channels] }
    }
    static let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Pictures")
    static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }
    static func data(_ name: String) throws -> Data { try Data(contentsOf: folder.appendingPathComponent(name)) }
    static func expected() throws -> [String: Expected] {
      try JSONDecoder().decode([String: Expected].self, from: data("expected.json"))
    }
  }

  private let chunk = AudioChunk(samples: SharedBuffer([Float](repeating: 0, count: 160)), rate: 16_000)

  /// A picture that came out, in its turn.
  private struct Seen: Equatable {
    var turn: String
    var width: Int
  }

  /// Says something in each of some sessions' turns, and collects the pictures that come.
  private func pictures(
    _ parameters: [String: ParameterValue], sessions: [String] = ["a"], turns: Int = 1, over carrier: Carrier = .direct
  ) async throws -> (frames: [ImageFrame], seen: [Seen], outcomes: [String]) {
    var frames: [ImageFrame] = []
    var seen: [Seen] = []
    var outcomes: [String] = []
    try await withNode(ImageCaptureNode.self, parameters: parameters, over: carrier) { node in
      for name in sessions {
        let session = try await node.beginSession(name)
        for _ in 0..<turns {
          let turn = try await node.beginTurn(in: session)
          for _ in 0..<3 {
            if parameters["follows"] == .string("text") {
              try await node.send(Text(""), to: "text", turn: turn)
            } else {
              try await node.send(chunk, to: "speech", turn: turn)
            }
          }
          node.endTurn(turn)
        }
        node.endSession(session)
      }
      node.finish()
      while let event = try await node.next() {
        if case .message(_, let frame as ImageFrame, let turn, _) = event {
          frames.append(frame)
          seen.append(Seen(turn: "\(turn)", width: frame.width))
        }
      }
      while node.turns.count < sessions.count * turns { await Task.yield() }
      outcomes = node.turns.map { "\($0.outcome)" }
    }
    return (frames, seen, outcomes)
  }

  /// The message with which a run over one file fails.
  private func failure(_ path: String) async throws -> String {
    do {
      _ = try await pictures(["path": .string(path)])
      Issue.record("'\(path)' was read")
      return ""
    } catch {
      return "\(error)"
    }
  }

  @Suite struct ImageCaptureTests {
    @Test func everyKindOfFileIsReadAsPillowReadsIt() async throws {
      let expected = try Pictures.expected()
      #expect(expected.count == 16)
      for (name, picture) in expected {
        let frame = try #require(
          try await pictures(["path": .string(Pictures.path(name))]).frames.first, "\(name)")
        let shape = [frame.width, frame.height, frame.channels]
        #expect(shape == picture.shape, "\(name)")
        // JPEG decoders may differ a little.
        let tolerance = name.hasSuffix(".jpg") ? 2 : 0
        let error = zip(frame.pixels, picture.pixels).map { abs(Int($0) - Int($1)) }.max() ?? 256
        #expect(frame.pixels.count == picture.pixels.count && error <= tolerance, "\(name): \(error)")
      }
    }

    @Test(arguments: Carrier.allCases) func aTurnGetsOnePicture(over carrier: Carrier) async throws {
      let result = try await pictures(
        ["path": .string(Pictures.path("rgba.png"))], sessions: ["a", "b"], turns: 2, over: carrier)
      let seen = result.seen.sorted { $0.turn < $1.turn }
      #expect(seen == ["a#1", "a#2", "b#1", "b#2"].map { Seen(turn: $0, width: 21) })
      #expect(result.frames.allSatisfy { $0 == result.frames[0] && $0.channels == 4 })
    }

    @Test func aTextsTurnsGetPicturesToo() async throws {
      let result = try await pictures(
        ["path": .string(Pictures.path("rgb.jpg")), "follows": .string("text")], turns: 2)
      #expect(result.seen == [Seen(turn: "a#1", width: 21), Seen(turn: "a#2", width: 21)])
    }

    @Test(arguments: ["session", "turn"]) func severalPicturesAreSharedOut(each: String) async throws {
      let folder = try Folder()
      let paths = try [1, 2].map { width in try folder.write(png(width: width, height: 1), as: "\(width).png") }
      let result = try await pictures(
        ["path": .list(paths.map { .string($0) }), "each": .string(each)], sessions: ["a", "b", "c"], turns: 3)
      let widths = result.seen.sorted { $0.turn < $1.turn }.map(\.width)
      #expect(widths == (each == "session" ? [1, 1, 1, 2, 2, 2, 2, 2, 2] : [1, 2, 2, 1, 2, 2, 1, 2, 2]))
    }

    @Test func theFileIsReadAnewInEachTurn() async throws {
      let folder = try Folder()
      let path = try folder.write(png(width: 1, height: 1), as: "camera.png")
      try await withNode(ImageCaptureNode.self, parameters: ["path": .string(path)]) { node in
        let session = try await node.beginSession("a")
        for width in [1, 5] {
          _ = try folder.write(png(width: width, height: 1), as: "camera.png")
          let turn = try await node.beginTurn(in: session)
          try await node.send(chunk, to: "speech", turn: turn)
          #expect(try await node.next(ImageFrame.self, from: "image")?.width == width)
          node.endTurn(turn)
        }
        node.endSession(session)
      }
    }

    // MARK: Bad files

    @Test func badFilesAreNamedWithTheirFault() async throws {
      let folder = try Folder()
      let photograph = try Pictures.data("rgb.jpg")
      let drawing = try Pictures.data("rgb.png")
      let faults: [(name: String, data: Data?, words: [String])] = [
        ("missing.png", nil, ["there is no such file"]),
        ("empty.png", Data(), ["empty"]),
        ("text.jpg", Data("This is no picture, whatever its name says.".utf8), ["neither JPEG nor PNG", "ffmpeg"]),
        ("moving.gif", Data("GIF89a.......".utf8), ["GIF"]),
        ("web.jpg", Data("RIFF....WEBPVP8 ".utf8), ["WebP", "ffmpeg"]),
        ("cut.jpg", photograph.prefix(photograph.count * 3 / 4), ["cut off", "copy it again"]),
        ("header.jpg", photograph.prefix(30), ["cannot read"]),
        ("start.jpg", photograph.prefix(3), ["cannot read"]),
        ("cut.png", drawing.prefix(drawing.count / 2), ["cut off", "copy it again"]),
        ("unclosed.png", drawing.dropLast(12), ["cut off"]),
        ("header.png", drawing.prefix(20), ["cut off"]),
        ("wide.png", png(width: 100_000, height: 100_000, data: [0]), ["100000 x 100000", "67108864"]),
        ("none.png", png(width: 0, height: 3, data: [0]), ["0 x 3"]),
        ("short.png", png(width: 100, height: 100, data: [0, 0, 0]), ["cut off"]),
        ("depth.png", png(width: 1, height: 1, depth: 3), ["libpng"]),
      ]
      for fault in faults {
        let path = try fault.data.map { try folder.write($0, as: fault.name) } ?? folder.path(fault.name)
        let message = try await failure(path)
        #expect(message.contains(path), "\(message)")
        for word in fault.words { #expect(message.contains(word), "\(fault.name): \(message)") }
      }
      #expect(try await failure(folder.url.path).contains("is a folder"))
    }

    @Test func aPictureOfTooManyPixelsIsRefusedBeforeItIsDecoded() async throws {
      // The size stands behind the frame header's marker, length and depth.
      var photograph = try Pictures.data("rgb.jpg")
      let frame = try #require(photograph.range(of: Data([0xff, 0xc0]))).lowerBound
      photograph.replaceSubrange(frame + 5..<frame + 9, with: [0xff, 0xdc, 0xff, 0xdc])
      let folder = try Folder()
      let message = try await failure(try folder.write(photograph, as: "large.jpg"))
      #expect(message.contains("65500 x 65500") && message.contains("make it smaller"), "\(message)")
    }

    @Test func spoiltFilesDoNoHarm() async throws {
      let folder = try Folder()
      var state: UInt64 = 5
      func random(below limit: Int) -> Int {
        state = state &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
        return Int(state >> 33) % limit
      }
      var read = 0
      for name in ["rgb.jpg", "progressive.jpg", "cmyk.jpg", "palette.png", "rgb-16.png", "rgba.png"] {
        let whole = [UInt8](try Pictures.data(name))
        for _ in 0..<40 {
          var bytes = whole
          for _ in 0..<1 + random(below: 3) { bytes[8 + random(below: bytes.count - 8)] = UInt8(random(below: 256)) }
          let path = try folder.write(Data(bytes), as: "spoilt")
          do {
            read += try await pictures(["path": .string(path)]).frames.count
          } catch {
            #expect("\(error)".contains("cannot read"), "\(error)")
          }
        }
      }
      #expect(read > 0, "a wrong colour is no fault of the file's form")
    }

    @Test func oneBadFileAmongSeveralFailsItsTurnAlone() async throws {
      let folder = try Folder()
      let paths = [folder.path("bad.png"), Pictures.path("rgb.png")].map { ParameterValue.string($0) }
      let result = try await pictures(["path": .list(paths), "each": .string("turn")], turns: 2)
      #expect(result.seen == [Seen(turn: "a#2", width: 21)])
      #expect(result.outcomes.count { $0.contains("failed") && $0.contains("bad.png") } == 1)
    }

    @Test func parametersAreChecked() async throws {
      await #expect(throws: (any Error).self) { _ = try await pictures(["path": .list([])]) }
      await #expect(throws: (any Error).self) { _ = try await pictures(["path": .string("-")]) }
    }
  }

  /// A grey PNG whose data are stored; `data` stands for rows of pixels when it is to lie.
  private func png(width: Int, height: Int, depth: UInt8 = 8, data: [UInt8]? = nil) -> Data {
    let rows = data ?? [UInt8](repeating: 0, count: (width + 1) * height)
    func number(_ value: Int) -> [UInt8] { (0..<4).map { UInt8(truncatingIfNeeded: value >> (24 - 8 * $0)) } }
    func chunk(_ kind: String, _ data: [UInt8]) -> [UInt8] {
      let body = Array(kind.utf8) + data
      var checksum: UInt32 = .max
      for byte in body {
        checksum ^= UInt32(byte)
        for _ in 0..<8 { checksum = checksum >> 1 ^ (checksum & 1 == 1 ? 0xedb8_8320 : 0) }
      }
      return number(data.count) + body + number(Int(~checksum))
    }
    var (low, high) = (1, 0)
    for byte in rows {
      low = (low + Int(byte)) % 65_521
      high = (high + low) % 65_521
    }
    let size = [UInt8(truncatingIfNeeded: rows.count), UInt8(truncatingIfNeeded: rows.count >> 8)]
    let stored: [UInt8] = [0x78, 0x01, 0x01] + size + size.map { ~$0 } + rows + number(high << 16 | low)
    let header: [UInt8] = number(width) + number(height) + [depth, 0, 0, 0, 0]
    let signature: [UInt8] = [0x89, 0x50, 0x4e, 0x47, 0x0d, 0x0a, 0x1a, 0x0a]
    return Data(signature + chunk("IHDR", header) + chunk("IDAT", stored) + chunk("IEND", []))
  }
#endif
