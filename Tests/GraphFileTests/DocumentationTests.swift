import Foundation
import GraphFile
import Testing

/// The reference and the JSON Schemas say what the reader does.
@Suite struct DocumentationTests {
  static let docs = URL(fileURLWithPath: Fixture.directory).deletingLastPathComponent().deletingLastPathComponent()
    .appendingPathComponent("docs").path

  /// Fenced `yaml` blocks: the first line names the file (`# parts/ears.yaml`, `# placements/two-hosts.yaml`).
  static func examples() throws -> [(name: String, text: String)] {
    let page = try String(contentsOfFile: docs + "/graph-file.md", encoding: .utf8)
    return page.components(separatedBy: "```yaml\n").dropFirst().compactMap { rest in
      let text = rest.components(separatedBy: "```")[0]
      let first = text.prefix { $0 != "\n" }
      return first.hasPrefix("# ") && first.hasSuffix(".yaml") ? (String(first.dropFirst(2)), text) : nil
    }
  }

  @Test func examplesAreAccepted() throws {
    let scratch = try Scratch()
    let examples = try Self.examples()
    for example in examples { try scratch.write(example.text, to: example.name) }
    #expect(examples.count >= 5)
    for example in examples {
      let path = scratch.path + "/" + example.name
      if example.name.hasPrefix("placements/") {
        let graph = try GraphDescription.load(path: scratch.path + "/assistant.yaml")
        _ = try Placement.load(path: path).resolve(nodeIDs: graph.nodes.map(\.id))
      } else {
        let overrides = example.name.hasPrefix("parts/") ? ["model=tiny.en"] : []
        #expect(try GraphDescription.load(path: path, overrides: overrides).warnings.isEmpty)
      }
    }
    withExtendedLifetime(scratch) {}
  }

  @Test func everyYAMLBlockIsAnExample() throws {
    let page = try String(contentsOfFile: Self.docs + "/graph-file.md", encoding: .utf8)
    #expect(page.components(separatedBy: "```yaml\n").count - 1 == (try Self.examples().count))
  }

  @Test(arguments: [("README.md", "Graphs/echo.yaml"), ("docs/writing-a-node.md", "Nodes/VoiceGate/VoiceGate.swift")])
  func filesThatAreShownWholeAre(page: String, file: String) throws {
    let root = URL(fileURLWithPath: Self.docs).deletingLastPathComponent().path
    let text = try String(contentsOfFile: root + "/" + page, encoding: .utf8)
    #expect(text.contains("\n" + (try String(contentsOfFile: root + "/" + file, encoding: .utf8)) + "```"))
  }

  static func schema(_ name: String) throws -> [String: Any] {
    let data = try Data(contentsOf: URL(fileURLWithPath: docs + "/" + name))
    return try #require(try JSONSerialization.jsonObject(with: data) as? [String: Any])
  }

  /// The keys of an object schema at a path of definitions.
  static func keys(_ schema: [String: Any], _ definition: String?) -> [String] {
    let object = definition.flatMap { (schema["$defs"] as? [String: Any])?[$0] as? [String: Any] } ?? schema
    return ((object["properties"] as? [String: Any]).map { Array($0.keys) } ?? []).sorted()
  }

  @Test func schemasKnowTheSameKeys() throws {
    let graph = try Self.schema("graph.schema.json")
    #expect(Self.keys(graph, nil) == GraphSourceReader.keys.sorted())
    #expect(Self.keys(graph, "node") == GraphSourceReader.nodeKeys.sorted())
    #expect(Self.keys(graph, "edge") == GraphSourceReader.edgeKeys.sorted())
    #expect(Self.keys(graph, "parameter") == GraphSourceReader.parameterKeys.sorted())
    let placement = try Self.schema("placement.schema.json")
    #expect(Self.keys(placement, nil) == PlacementReader.keys.sorted())
    #expect(Self.keys(placement, "part") == PlacementReader.partKeys.sorted())
    #expect(Self.keys(placement, "security") == PlacementReader.securityKeys.sorted())
    #expect(Self.keys(placement, "restart") == PlacementReader.restartKeys.sorted())
  }
}
