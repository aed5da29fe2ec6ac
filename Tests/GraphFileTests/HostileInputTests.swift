import Foundation
import GraphFile
import Testing

/// Files that nobody writes in good faith: each is refused, or read, without a crash and without endless work.
@Suite struct HostileInputTests {
  @Test(arguments: ["[", "{", "{a: ", "- ", "[{", "a: [", "? ", "\"\n"])
  func hundredThousandLevelsAreRefused(_ opening: String) throws {
    let text = "antiphon: 1\nnodes: " + String(repeating: opening, count: 100_000)
    #expect(try Scratch().faults(text).isEmpty == false)
  }

  @Test func depthBeyondTheLimitIsNamed() throws {
    func nested(_ depth: Int) -> String {
      "antiphon: 1\nnodes: { a: { kind: x, with: { v: "
        + String(repeating: "[", count: depth) + String(repeating: "]", count: depth) + " } } }"
    }
    let scratch = try Scratch()
    #expect(try scratch.faults(nested(60)).isEmpty)
    let faults = try scratch.faults(nested(70))
    #expect(faults == ["graph.yaml:2:96: error: lists and mappings are nested more than 64 deep"])
    #expect(try scratch.faults(nested(5000)).map { $0.hasSuffix("nested more than 64 deep") } == [true])
  }

  @Test func largeFilesAreRefusedUnread() throws {
    let text = "antiphon: 1\n#" + String(repeating: "x", count: 1 << 20)
    #expect(
      try Scratch().faults(text) == [
        "graph.yaml:1:1: error: the file is larger than 1 MiB, which no graph needs"
      ])
  }

  @Test func countlessValuesAreRefused() throws {
    let text = "antiphon: 1\nx: [" + String(repeating: ",", count: 70_000) + "]"
    #expect(
      try Scratch().faults(text) == [
        "graph.yaml:1:1: error: the file has more than 65536 values, which no graph needs"
      ])
  }

  @Test func nestedKeysWithoutValuesAreBounded() throws {
    // The parser hashes every key with all that is in it.
    let leaves = String(repeating: "a,", count: 40_000)
    let text = "x: " + String(repeating: "{", count: 900) + leaves + String(repeating: "}", count: 900)
    #expect(try Scratch().faults(text).isEmpty == false)
    let wide = "x: " + String(repeating: "{", count: 900) + String(repeating: "é", count: 400_000)
    let message =
      "graph.yaml:1:1: error: the file has too many '{' beside so much text that is not ASCII; split it into subgraphs"
    #expect(try Scratch().faults(wide) == [message])
  }

  @Test func aliasesAreNeverExpanded() throws {
    var text = "antiphon: 1\nnodes:\n  a: { kind: x, with: { a0: &a0 [x, x] } }\n"
    for level in 1...60 {
      text += "  n\(level): { kind: x, with: { v: &a\(level) [*a\(level - 1), *a\(level - 1)] } }\n"
    }
    let faults = try Scratch().faults(text)
    #expect(faults.first?.contains("anchors and aliases") == true)
    #expect(faults.count <= 101)
  }

  @Test func subgraphsCannotMultiplyWithoutEnd() throws {
    let scratch = try Scratch()
    for level in 0..<15 {
      try scratch.write(
        "antiphon: 1\nnodes:\n  a: { graph: g\(level + 1).yaml }\n  b: { graph: g\(level + 1).yaml }\n",
        to: "g\(level).yaml")
    }
    try scratch.write("antiphon: 1\nnodes: { a: { kind: x }, b: { kind: x } }\n", to: "g15.yaml")
    let faults = withExtendedLifetime(scratch) { Scratch.faults(scratch.path + "/g0.yaml") }
    #expect(faults.count == 1)
    #expect(faults.first?.hasSuffix("error: with its subgraphs the graph has more than 4096 nodes") == true)
  }

  @Test func parametersCannotMultiplyWithoutEnd() throws {
    let scratch = try Scratch()
    for level in 0..<15 {
      try scratch.write(
        "antiphon: 1\nparameters: { p: xxxxxxxx }\nnodes:\n"
          + "  a: { graph: g\(level + 1).yaml, with: { p: \"\(String(repeating: "${p}", count: 8))\" } }\n",
        to: "g\(level).yaml")
    }
    try scratch.write(
      "antiphon: 1\nparameters: { p: 1 }\nnodes: { a: { kind: x, with: { p: \"${p}\" } } }", to: "g15.yaml")
    let faults = withExtendedLifetime(scratch) { Scratch.faults(scratch.path + "/g0.yaml") }
    #expect(faults.count == 1)
    #expect(faults.first?.hasSuffix("the graph's parameters grow beyond all measure when they are put in") == true)
  }

  @Test func thousandsOfFaultsMakeAShortReport() throws {
    var text = "antiphon: 1\nnodes:\n"
    for number in 0..<1000 { text += "  node-\(number): { kind: x }\n" }
    text += "edges:\n"
    for number in 0..<10_000 { text += "  - nod-\(number).out -> node-1.in\n" }
    #expect(try Scratch().faults(text).count == 101)
  }

  @Test func countlessPartsAndPatternsAreRefused() {
    let patterns = String(repeating: "a*,", count: 5000)
    let message = "more than 1024 parts or 4096 node ids and patterns"
    let many = (0..<2000).map { "  p\($0): { nodes: [a] }\n" }.joined()
    for parts in ["  one: { nodes: [\(patterns)] }\n", many] {
      let error = #expect(throws: GraphFileError.self) { try Placement.parse("antiphon: 1\nparts:\n" + parts) }
      #expect(error?.diagnostics.map { $0.message.hasSuffix(message) } == [true])
    }
  }

  @Test func longChainsAndCyclesAreFollowed() throws {
    var text = "antiphon: 1\nnodes:\n"
    for number in 0..<4000 { text += "  n\(number): { kind: x }\n" }
    text += "edges:\n"
    for number in 0..<4000 { text += "  - n\(number).out -> n\((number + 1) % 4000).in\n" }
    let faults = try Scratch().faults(text)
    #expect(faults.count == 1)
    #expect(faults.first?.contains("n0 -> n1 -> n2 -> n3 -> n4 -> n5 -> ... ->") == true)
  }

  @Test(arguments: ["/dev/zero", "/dev/null", "/", "/no/such/file.yaml", ""])
  func whatIsNoFileIsRefused(_ path: String) {
    #expect(throws: GraphFileError.self) { try GraphDescription.load(path: path) }
    #expect(throws: GraphFileError.self) { try Placement.load(path: path) }
  }

  @Test func randomBytesAreRefused() throws {
    var random = SplitMix(state: 1)
    let scratch = try Scratch()
    for _ in 0..<500 {
      let bytes = (0..<random.below(200)).map { _ in UInt8(truncatingIfNeeded: random.next()) }
      #expect(try scratch.faults(bytes).isEmpty == false)
    }
  }

  /// Valid files with a few bytes changed, removed, doubled or moved: accepted or explained, and the places that the
  /// explanations name exist.
  @Test func mutatedFilesAreReadOrExplained() throws {
    var random = SplitMix(state: 2)
    let scratch = try Scratch()
    let seeds = try (Fixture.all("Valid") + Fixture.all("Invalid")).map { fixture in
      Array(try Data(contentsOf: URL(fileURLWithPath: fixture.path)))
    }.filter { !$0.isEmpty }
    let tokens = [
      "{", "}", "[", "]", ": ", "- ", "&a ", "*a", "? ", "!!", "|\n", ">", "\"", "'", "\n", "  ", "#", "${", "\t", "%",
      "---\n",
    ]
    for _ in 0..<3000 {
      var bytes = seeds[random.below(seeds.count)]
      for _ in 0...random.below(4) where !bytes.isEmpty {
        let place = random.below(bytes.count)
        switch random.below(5) {
        case 0: bytes[place] = UInt8(truncatingIfNeeded: random.next())
        case 1: bytes.removeSubrange(place..<min(bytes.count, place + 1 + random.below(8)))
        case 2: bytes.insert(contentsOf: Array(tokens[random.below(tokens.count)].utf8), at: place)
        case 3:
          bytes.insert(
            contentsOf: bytes[place..<min(bytes.count, place + random.below(40))], at: random.below(bytes.count))
        default: bytes = Array(bytes.prefix(place))
        }
      }
      let path = try scratch.write(bytes)
      let lines = bytes.count { $0 == UInt8(ascii: "\n") } + 1
      do throws(GraphFileError) {
        let graph = try GraphDescription.load(path: path)
        #expect(!graph.nodes.isEmpty)
      } catch {
        #expect(error.diagnostics.contains { $0.severity == .error })
        #expect(error.diagnostics.allSatisfy { $0.location.file != path || (1...lines + 1).contains($0.location.line) })
      }
      _ = try? Placement.load(path: path)
    }
    withExtendedLifetime(scratch) {}
  }
}

/// A small generator with a fixed seed, so that a failure happens again.
struct SplitMix {
  var state: UInt64

  mutating func next() -> UInt64 {
    state &+= 0x9e37_79b9_7f4a_7c15
    var z = state
    z = (z ^ (z >> 30)) &* 0xbf58_476d_1ce4_e5b9
    z = (z ^ (z >> 27)) &* 0x94d0_49bb_1331_11eb
    return z ^ (z >> 31)
  }

  mutating func below(_ bound: Int) -> Int { bound < 1 ? 0 : Int(next() % UInt64(bound)) }
}
