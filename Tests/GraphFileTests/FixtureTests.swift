import Foundation
import GraphFile
import Testing

/// Every file in `Valid` is accepted, and every file in `Invalid` gets exactly the diagnostics in the text beside it.
///
/// Run the tests with `RECORD_FIXTURES=1` to write the texts anew, and read the difference before you commit it.
@Suite struct FixtureTests {
  @Test(arguments: Fixture.all("Valid"))
  func validFileMeansWhatIsRecorded(_ fixture: Fixture) throws {
    try fixture.expect(
      fixture.isPlacement
        ? Self.describe(Placement.load(path: fixture.path))
        : GraphDescription.load(path: fixture.path).canonicalText)
  }

  @Test(arguments: Fixture.all("Invalid"))
  func invalidFileIsExplained(_ fixture: Fixture) throws {
    do throws(GraphFileError) {
      if fixture.isPlacement {
        _ = try Placement.load(path: fixture.path).resolve(nodeIDs: Self.nodeIDs)
      } else {
        _ = try GraphDescription.load(path: fixture.path)
      }
      Issue.record("\(fixture) was accepted")
    } catch {
      try fixture.expect(error.description + "\n")
    }
  }

  static let nodeIDs = ["capture", "ears/encoder", "ears/decoder", "llm", "speaker"]

  static func describe(_ placement: Placement) throws -> String {
    let nodes = try placement.resolve(nodeIDs: nodeIDs)
    var lines = ["coordinator \(placement.coordinator.map { "\($0.value)" } ?? "default")"]
    for part in placement.parts {
      let host = part.host.map { "on \($0.value)" } ?? "here"
      let ports = part.ports.map { " ports \($0.value.lowerBound)...\($0.value.upperBound)" } ?? ""
      lines.append("part \(part.name.value) \(host)\(ports): \((nodes[part.name.value] ?? []).joined(separator: " "))")
      for variable in part.environment { lines.append("  \(variable.name.value)=\(variable.value)") }
      if let restart = part.restart { lines.append("  restart \(restart.max ?? -1) \(restart.backoff ?? -1)") }
    }
    return lines.joined(separator: "\n") + "\n"
  }
}

/// A file beside the tests with the text that is expected of it.
struct Fixture: CustomTestStringConvertible {
  let folder: String
  let name: String

  static let directory = URL(fileURLWithPath: #filePath).deletingLastPathComponent().path

  var path: String { "\(Self.directory)/\(folder)/\(name).yaml" }
  var isPlacement: Bool { name.hasPrefix("placement-") }
  var testDescription: String { "\(folder)/\(name)" }

  static func all(_ folder: String) -> [Fixture] {
    let files = (try? FileManager.default.contentsOfDirectory(atPath: "\(directory)/\(folder)")) ?? []
    return files.filter { $0.hasSuffix(".yaml") }.sorted().map { Fixture(folder: folder, name: String($0.dropLast(5))) }
  }

  func expect(_ text: String) throws {
    let actual = text.replacing("\(Self.directory)/\(folder)/", with: "")
    let record = "\(Self.directory)/\(folder)/\(name).txt"
    if ProcessInfo.processInfo.environment["RECORD_FIXTURES"] != nil {
      try actual.write(toFile: record, atomically: true, encoding: .utf8)
    }
    #expect(actual == (try String(contentsOfFile: record, encoding: .utf8)))
  }
}
