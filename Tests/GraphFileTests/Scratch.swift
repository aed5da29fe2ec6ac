import Foundation
import GraphFile

/// A folder that lives as long as this value, for tests that make up files.
final class Scratch {
  let path: String

  init() throws {
    path = NSTemporaryDirectory() + "graphfile-\(UUID().uuidString)"
    try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
  }

  deinit { try? FileManager.default.removeItem(atPath: path) }

  @discardableResult
  func write(_ text: String, to name: String = "graph.yaml") throws -> String {
    try write(Array(text.utf8), to: name)
  }

  @discardableResult
  func write(_ bytes: [UInt8], to name: String = "graph.yaml") throws -> String {
    let file = path + "/" + name
    try FileManager.default.createDirectory(
      atPath: URL(fileURLWithPath: file).deletingLastPathComponent().path, withIntermediateDirectories: true)
    try Data(bytes).write(to: URL(fileURLWithPath: file))
    return file
  }

  /// The messages that loading the text gives; none if it is accepted.
  func faults(_ text: String) throws -> [String] { try faults(Array(text.utf8)) }

  func faults(_ bytes: [UInt8]) throws -> [String] {
    try withExtendedLifetime(self) { Self.faults(try write(bytes)) }
  }

  /// The messages that loading the file gives, with paths relative to its folder.
  static func faults(_ path: String, overrides: [String] = [], swaps: [String] = []) -> [String] {
    let folder = URL(fileURLWithPath: path).deletingLastPathComponent().path + "/"
    do throws(GraphFileError) {
      _ = try GraphDescription.load(path: path, overrides: overrides, swaps: swaps)
      return []
    } catch {
      return error.diagnostics.map { "\($0)".replacing(folder, with: "") }
    }
  }
}
