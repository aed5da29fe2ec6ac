import Foundation
import ModelKit
import Tensors
import Testing

@Suite struct CheckpointTests {
  @Test func aSmallGGUFFileLoads() throws {
    let model = try SmallModel.load()
    #expect(model.configuration.layers == 2)
    #expect(model.configuration.keyHeads == 2)
    #expect(model.tokenizer.vocabularySize == 258)
    #expect(model.endTokens == [257])
  }

  @Test func hostileGGUFFilesAreRefusedWithTypedErrors() throws {
    let file = SmallModel.file()
    try Fixtures.hostileVariants(of: file, seed: 7) { bytes in
      try Fixtures.withFile(bytes) { path in
        do {
          let model = try ModelStore().causalLM(at: path)
          // A change that goes unnoticed must not hurt later either.
          let runner = CausalLMRunner(model)
          _ = try runner.forward(tokens: [1, 2, 3], cache: KVCache(model, capacity: 8))
        } catch is ModelError {} catch is ModelInputError {}
      }
    }
  }

  @Test func aGGUFFileCutInItsTensorsNamesTheTensor() throws {
    let file = SmallModel.file()
    try Fixtures.withFile(Array(file.dropLast(100))) { path in
      let error = try #require(throws: ModelError.self) { try ModelStore().causalLM(at: path) }
      #expect(error.file.contains("antiphon-"))
      #expect(error.part == "blk.1.ffn_down.weight")
    }
  }

  @Test func missingFilesSayWhatToDo() throws {
    let error = try #require(throws: ModelError.self) { try ModelFolder.path("whisper-enormous") }
    #expect(error.description.contains("tools/models fetch whisper-enormous"))
    #expect(throws: ModelError.self) { try ModelStore().whisperDecoder(at: "/nonexistent") }
    #expect(throws: ModelError.self) { try ModelStore().causalLM(at: "/") }
  }

  /// Variables of every kind, an alias, and a matrix of int8 with its scales.
  private static func cTranslate2() -> [UInt8] {
    var file = ByteWriter()
    func name(_ text: String) {
      file.put(UInt16(text.utf8.count + 1))
      file.bytes += Array(text.utf8) + [0]
    }
    func variable(_ text: String, _ shape: [UInt32], type: UInt8, _ bytes: [UInt8]) {
      name(text)
      file.put(UInt8(shape.count))
      for dimension in shape { file.put(dimension) }
      file.put(type)
      file.put(UInt32(bytes.count))
      file.bytes += bytes
    }
    var floats = ByteWriter()
    for value in [10, 4] as [Float] { floats.put(value) }
    file.put(UInt32(6))
    name("WhisperSpec")
    file.put(UInt32(3))
    file.put(UInt32(4))
    variable("heads", [], type: 2, [6, 0])
    variable("half", [3], type: 4, [0, 0x3c, 0, 0xc0, 1, 0])
    variable("matrix", [2, 2], type: 1, [10, 0xf6, 1, 2])
    variable("matrix_scale", [2], type: 0, floats.bytes)
    file.put(UInt32(1))
    name("alias")
    name("matrix")
    return file.bytes
  }

  @Test func cTranslate2VariablesAreRead() throws {
    try Fixtures.withFile(Self.cTranslate2()) { path in
      let file = try CTranslate2(path: path)
      #expect(try file.setting("heads") == 6)
      #expect(try file.tensor("half", shape: [3]).floats() == [1, -2, 0x1p-24])
      #expect(try file.tensor("alias", shape: [2, 2]).floats() == [1, -1, 0.25, 0.5])
      let error = try #require(throws: ModelError.self) { try file.tensor("half", shape: [4]) }
      #expect(error.reason == .unexpected(expected: "shape [4]", found: "[3]"))
      #expect(throws: ModelError.self) { try file.tensor("other", shape: [1]) }
    }
  }

  @Test func hostileCTranslate2FilesAreRefusedWithTypedErrors() throws {
    try Fixtures.hostileVariants(of: Self.cTranslate2(), seed: 8) { bytes in
      try Fixtures.withFile(bytes) { path in
        do {
          let file = try CTranslate2(path: path)
          _ = try file.tensor("half", shape: [3]).floats()
          _ = try file.tensor("alias", shape: [2, 2]).floats()
        } catch is ModelError {}
      }
    }
  }

  @Test(arguments: [
    "", "{", "[1,", "{\"a\" 1}", "\"\\ud800\"", "\"\\ud800\\u0041\"", "nul", "1e999", "[1] 2", "\"\u{1}\"", "--1",
    String(repeating: "[", count: 100_000),
  ])
  func malformedJSONIsRefused(_ text: String) {
    #expect(throws: ModelError.self) {
      try Array(text.utf8).withUnsafeBytes { try JSON($0, file: "test") }
    }
  }

  @Test func wellFormedJSONIsRead() throws {
    let text = #"{"a": [1, -2.5e1, "\u00e9\ud83d\ude00\n"], "b": {"c": null, "d": true}}"#
    let json = try Array(text.utf8).withUnsafeBytes { try JSON($0, file: "test") }
    #expect(json["a"]?.array?[2].string == "é😀\n")
    #expect(json["a"]?.array?[0].token == 1)
    #expect(json["a"]?.array?[1].token == -25)
    #expect(json["b"]?["d"]?.bool == true)
  }

  @Test func aStoreLoadsOnceForAllWhoAsk() async throws {
    let path = NSTemporaryDirectory() + "antiphon-\(UUID().uuidString).gguf"
    try Data(SmallModel.file()).write(to: URL(fileURLWithPath: path))
    defer { try? FileManager.default.removeItem(atPath: path) }
    let store = ModelStore()
    let models = try await withThrowingTaskGroup(of: CausalLM.self) { group in
      for _ in 0..<8 { group.addTask { try store.causalLM(at: path) } }
      return try await group.reduce(into: []) { $0.append($1) }
    }
    #expect(models.allSatisfy { $0 === models[0] })
  }

  @Test func aFailedOrCancelledLoadIsTriedAgain() throws {
    struct Stop: Error {}
    let store = ModelStore()
    try Fixtures.withFile(SmallModel.file()) { path in
      #expect(throws: Stop.self) { try store.causalLM(at: path) { throw Stop() } }
      let model = try store.causalLM(at: path)
      #expect(model.configuration.width == 64)
    }
  }
}
