import Foundation
import ModelKit
import Testing

/// Unsound containers: zip archives, safetensors headers, indexes of shards.
@Suite struct HostileArchiveTests {
  private static let sound = PickleText.whole(PickleText.dictionary([("weight", PickleText.tensor())]))

  private func error(_ file: [UInt8]) throws -> String {
    try Fixtures.withFile(file) { path in
      let error = try #require(throws: ModelError.self) { try Checkpoints.open(path) }
      return error.description
    }
  }

  private func error(_ change: (inout ZipBuilder) -> Void) throws -> String {
    var zip = TorchBuilder.zip(Self.sound)
    change(&zip)
    return try error(zip.bytes())
  }

  @Test func overlappingEntriesAreRefused() throws {
    let found = try error {
      // Two entries of the directory stand for one in the file.
      $0.entries.append(ZipBuilder.Entry(name: "archive/data/1", data: []))
      $0.entries[2].start = UInt64(30 + "archive/data.pkl".utf8.count + Self.sound.count)
      $0.entries[2].size = 16
    }
    #expect(found.contains("expected the same in its local header") || found.contains("overlaps"), "\(found)")
    let inner = try error {
      // An entry within the data of another.
      var hidden = ZipBuilder()
      hidden.entries = [ZipBuilder.Entry(name: "archive/data/1", data: [1, 2, 3, 4])]
      let place = UInt64(30 + "archive/data.pkl".utf8.count + Self.sound.count + 30 + "archive/data/0".utf8.count)
      $0.entries[1].data = Array(hidden.bytes().prefix(60))
      $0.entries.append(ZipBuilder.Entry(name: "archive/data/1", data: [1, 2, 3, 4], start: place))
    }
    #expect(inner.contains("overlaps 'archive/data/0'"), "\(inner)")
  }

  @Test(arguments: ["../evil", "/etc/passwd", "archive/../../evil", "archive\\evil", "archive/\0evil"])
  func namesThatLeadElsewhereAreRefused(_ name: String) throws {
    let found = try error { $0.entries.append(ZipBuilder.Entry(name: name, data: [])) }
    #expect(found.contains("leads out of the archive is refused"), "\(found)")
  }

  @Test func compressedEntriesAreRefusedWhenAskedFor() throws {
    // One that nobody asks for may be compressed, whatever size it claims: TorchScript's code is.
    var zip = TorchBuilder.zip(Self.sound)
    zip.entries.append(ZipBuilder.Entry(name: "archive/code/a.py", data: [1, 2, 3], method: 8))
    let count = try Fixtures.withFile(zip.bytes()) { try Checkpoints.open($0).tensors.count }
    #expect(count == 1)
    #expect(
      try error { $0.entries[0].method = 8 }.contains("data.pkl: expected a stored entry, found compression (deflate)"))
    #expect(try error { $0.entries[1].method = 8 }.contains("archive/data/0: expected a stored entry"))
    #expect(try error { $0.entries[1].method = 93 }.contains("method 93"))
  }

  @Test func liesAboutSizesAndPlacesAreRefused() throws {
    for isZip64 in [false, true] {
      #expect(try error { ($0.isZip64, $0.entries[1].size) = (isZip64, 1 << 31) }.contains("2147483648 bytes needed"))
      #expect(try error { ($0.isZip64, $0.entries[1].start) = (isZip64, 1 << 31) }.contains("bytes needed"))
      #expect(try error { ($0.isZip64, $0.entries[1].start) = (isZip64, 3) }.contains("no local header"))
      #expect(try error { ($0.isZip64, $0.count) = (isZip64, 3) }.contains("zip entry 2"))
      #expect(try error { ($0.isZip64, $0.count) = (isZip64, 1) }.contains("more bytes"))
      #expect(try error { ($0.isZip64, $0.directoryStart) = (isZip64, 0) }.contains("zip directory: expected its end"))
    }
    #expect(try error { ($0.isZip64, $0.entries[1].size) = (true, .max) }.contains("bytes needed"))
    #expect(try error { ($0.isZip64, $0.entries[1].start) = (true, .max) }.contains("bytes needed"))
    #expect(try error { ($0.isZip64, $0.count) = (true, .max) }.contains("is more than"))
    #expect(try error { ($0.isZip64, $0.directoryStart) = (true, .max) }.contains("zip directory"))
  }

  @Test func otherUnsoundArchivesAreRefused() throws {
    #expect(try error { $0.entries[1].flags = 1 }.contains("an encrypted entry is refused"))
    #expect(try error { $0.entries[1].localName = "archive/data/9" }.contains("local header"))
    #expect(try error { $0.entries.append($0.entries[1]) }.contains("appears twice"))
    #expect(
      try error { $0.entries[0].name = "archive/other.pkl" }.contains("data.pkl: expected one in a PyTorch archive"))
    #expect(try error { $0.entries.append(ZipBuilder.Entry(name: "b/data.pkl", data: [])) }.contains("found 2"))
    let order = try error { $0.entries.append(ZipBuilder.Entry(name: "archive/byteorder", data: Array("big".utf8))) }
    #expect(order.contains("byteorder: expected little, found big"))
    #expect(try error(Array("PK\u{3}\u{4}".utf8)).contains("not a zip archive"))
  }

  // MARK: safetensors

  private func safetensors(_ header: String, data: Int = 16) throws -> String {
    var file = ByteWriter()
    file.put(UInt64(header.utf8.count))
    return try error(file.bytes + Array(header.utf8) + [UInt8](repeating: 0, count: data))
  }

  @Test(arguments: [
    (#"{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 12]}}"#, "does not fit"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 16]}}"#, "expected 8 bytes for F32 [2], found 16"),
    (#"{"a": {"dtype": "F32", "shape": [4], "data_offsets": [4, 20]}}"#, "20 bytes needed, 16 left"),
    (#"{"a": {"dtype": "F32", "shape": [3], "data_offsets": [4, 16]}}"#, "expected data from byte 0, found 4"),
    (#"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}}"#, "8 more bytes"),
    (
      #"{"a": {"dtype": "F32", "shape": [4], "data_offsets": [0, 16]}, "b": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}"#,
      "expected data from byte"
    ),
    (
      #"{"a": {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}, "a": {"dtype": "F32", "shape": [2], "data_offsets": [8, 16]}}"#,
      "a: appears twice"
    ),
    (#"{"a": {"dtype": "F8_E4M3", "shape": [16], "data_offsets": [0, 16]}}"#, "found F8_E4M3"),
    (#"{"a": {"dtype": "Q4_0", "shape": [16], "data_offsets": [0, 16]}}"#, "found Q4_0"),
    (#"{"a": {"dtype": "F32", "shape": [-4], "data_offsets": [0, 16]}}"#, "whole numbers in shape"),
    (#"{"a": {"dtype": "F32", "shape": [0.5], "data_offsets": [0, 16]}}"#, "whole numbers in shape"),
    (#"{"a": {"dtype": "F32", "shape": [1e300], "data_offsets": [0, 16]}}"#, "whole numbers in shape"),
    (
      #"{"a": {"dtype": "F32", "shape": [4503599627370496, 4503599627370496], "data_offsets": [0, 16]}}"#,
      "does not fit"
    ),
    (#"{"a": {"dtype": "F32", "shape": [4], "data_offsets": [16, 0]}}"#, "two data_offsets"),
    (#"{"a": {"dtype": "F32", "shape": [4]}}"#, "data_offsets"),
    (#"{"a": 3}"#, "expected dtype"),
    (#"{"a": {"dtype": "F32""#, "byte"),
  ])
  func unsoundHeadersAreRefused(_ header: String, _ reason: String) throws {
    let found = try safetensors(header)
    #expect(found.contains(reason), "\(found)")
  }

  @Test func aHeaderLongerThanTheFileIsRefused() throws {
    for length in [100, 1 << 24, 1 << 40, UInt64.max] {
      var file = ByteWriter()
      file.put(length)
      let found = try error(file.bytes + Array("{}      ".utf8))
      #expect(found.contains("bytes needed") || found.contains("is more than"), "\(found)")
    }
  }

  // MARK: Shards

  @Test(arguments: [
    (#"{"weight_map": {"weight": "../model.safetensors"}}"#, "is refused"),
    (#"{"weight_map": {"weight": "/etc/passwd"}}"#, "is refused"),
    (#"{"weight_map": {"weight": ".."}}"#, "is refused"),
    (#"{"weight_map": {"weight": ""}}"#, "is refused"),
    (#"{"weight_map": {"weight": "missing.safetensors"}}"#, "cannot be opened"),
    (#"{"weight_map": {"weight": "model.safetensors.index.json"}}"#, "other first bytes"),
    (#"{"weight_map": {"other": "model.safetensors"}}"#, "other: missing"),
    (#"{"weight_map": {"weight": "model.safetensors", "weight": "model.safetensors"}}"#, "weight: appears twice"),
    (#"{"weight_map": {"weight": 3}}"#, "expected a file's name"),
    (#"{"weight_map": {}}"#, "weight_map: missing"),
    (#"[]"#, "weight_map: missing"),
  ])
  func unsoundIndexesAreRefused(_ index: String, _ reason: String) throws {
    let folder = URL(fileURLWithPath: NSTemporaryDirectory() + "antiphon-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: false)
    defer { try? FileManager.default.removeItem(at: folder) }
    try FileManager.default.copyItem(
      at: CheckpointFileTests.folder.appendingPathComponent("model.safetensors"),
      to: folder.appendingPathComponent("model.safetensors"))
    try Data(index.utf8).write(to: folder.appendingPathComponent("model.safetensors.index.json"))
    let error = try #require(throws: ModelError.self) { try Checkpoints.open(folder.path) }
    #expect(error.description.contains(reason), "\(error)")
  }

  @Test(arguments: ["", "x", "\0\0\0\0\0\0\0\0", "#!/bin/sh\n", "{\"a\": 1}"])
  func otherFilesAreRefused(_ text: String) throws {
    _ = try error(Array(text.utf8))
  }
}
