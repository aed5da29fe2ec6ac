import Foundation
import ModelKit
import Testing

/// Writes Protocol Buffers' wire format.
struct ProtobufBuilder {
  var bytes: [UInt8] = []

  mutating func integer(_ value: UInt64) {
    var rest = value
    while rest >= 0x80 {
      bytes.append(UInt8(rest & 0x7f) | 0x80)
      rest >>= 7
    }
    bytes.append(UInt8(rest))
  }

  mutating func put(_ field: UInt64, _ value: UInt64) {
    integer(field << 3)
    integer(value)
  }

  mutating func put(_ field: UInt64, _ value: [UInt8]) {
    integer(field << 3 | 2)
    integer(UInt64(value.count))
    bytes += value
  }

  mutating func put(_ field: UInt64, _ text: String) { put(field, Array(text.utf8)) }

  static func message(_ fill: (inout ProtobufBuilder) -> Void) -> [UInt8] {
    var builder = ProtobufBuilder()
    fill(&builder)
    return builder.bytes
  }
}

/// Parts of an ONNX file.
enum Onnx {
  static func model(_ graph: [UInt8]) -> [UInt8] {
    ProtobufBuilder.message {
      $0.put(1, 8)
      $0.put(2, "test")
      $0.put(7, graph)
    }
  }

  /// Four floats, unless told otherwise.
  static func tensor(
    _ name: String, shape: [UInt64] = [2, 2], type: UInt64 = 1, data: [UInt8] = [UInt8](repeating: 0, count: 16),
    more: (inout ProtobufBuilder) -> Void = { _ in }
  ) -> [UInt8] {
    ProtobufBuilder.message { tensor in
      for extent in shape { tensor.put(1, extent) }
      tensor.put(2, type)
      tensor.put(8, name)
      tensor.put(9, data)
      more(&tensor)
    }
  }

  static func graph(initializers: [[UInt8]] = [], nodes: [[UInt8]] = []) -> [UInt8] {
    ProtobufBuilder.message { graph in
      for node in nodes { graph.put(1, node) }
      for tensor in initializers { graph.put(5, tensor) }
    }
  }

  /// A node with a graph of its own.
  static func branch(_ name: String, _ graph: [UInt8]) -> [UInt8] {
    ProtobufBuilder.message { node in
      node.put(3, name)
      node.put(4, "If")
      node.put(
        5,
        ProtobufBuilder.message {
          $0.put(1, "then_branch")
          $0.put(6, graph)
        })
    }
  }
}

/// ONNX files as they come and as they must not: read in bounded time and memory, or refused with the reason.
@Suite struct OnnxTests {
  private func error(_ file: [UInt8]) throws -> String {
    try Fixtures.withFile(file) { path in
      let error = try #require(throws: ModelError.self) { try Checkpoints.open(path) }
      #expect(error.file == path)
      return error.description
    }
  }

  private func names(_ graph: [UInt8]) throws -> [String] {
    try Fixtures.withFile(Onnx.model(graph)) { try Checkpoints.open($0).tensors.map(\.name) }
  }

  @Test func theFormatIsToldByItsFirstBytes() throws {
    let path = CheckpointFileTests.path("branches.onnx")
    #expect(try Checkpoints.open(path).format == .onnx)
    #expect(CheckpointReport(try Checkpoints.open(path)).text.contains("ONNX, 10 tensors"))
  }

  @Test func weightsWithinANodesGraphsAreNamedByTheirPath() throws {
    let inner = Onnx.branch("", Onnx.graph(initializers: [Onnx.tensor("a")]))
    let unnamed = ProtobufBuilder.message { $0.put(2, "made") } + inner
    let graph = Onnx.graph(
      initializers: [Onnx.tensor("a")],
      nodes: [Onnx.branch("first", Onnx.graph(initializers: [Onnx.tensor("a")], nodes: [unnamed]))])
    #expect(
      Set(try names(graph)) == ["a", "first.then_branch.a", "first.then_branch.made.then_branch.a"])
  }

  @Test func whatHoldsNoNumbersIsLeftOut() throws {
    let text = Onnx.tensor("text", shape: [1], type: 8, data: [])
    #expect(try names(Onnx.graph(initializers: [text, Onnx.tensor("a")])) == ["a"])
    #expect(try names(Onnx.graph()) == [])
  }

  @Test(arguments: [
    (
      "no graph",
      ProtobufBuilder.message {
        $0.put(1, 8)
        $0.put(2, "test")
      }, "graph: missing"
    ),
    ("a group", Onnx.model(Onnx.graph()) + [0x0b], "wire type 3"),
    ("field 0", Onnx.model([0x00, 0x01]), "a field of number 0"),
    ("a long integer", Onnx.model([0x08] + [UInt8](repeating: 0xff, count: 11)), "more than 64 bits"),
    (
      "a graph beyond the file", Array(Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a")])).dropLast()), "cut short"
    ),
    ("a tensor beyond its graph", Onnx.model([0x2a, 0x7f, 0x00]), "127 bytes needed, 1 left"),
    ("too few numbers", Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a", shape: [3, 2])])), "does not fit"),
    ("too many numbers", Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a", shape: [2])])), "expected 8 bytes"),
    (
      "a shape that overflows",
      Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a", shape: [.max, 2])])), "is more than the"
    ),
    (
      "many dimensions",
      Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a", shape: [UInt64](repeating: 1, count: 17))])), "17 is more"
    ),
    (
      "numbers twice", Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a") { $0.put(4, [0, 0, 0, 0]) }])),
      "a: appears twice"
    ),
    (
      "numbers elsewhere",
      Onnx.model(
        Onnx.graph(initializers: [Onnx.tensor("a") { $0.put(13, ProtobufBuilder.message { $0.put(1, "location") }) }])),
      "a tensor in another file is refused"
    ),
    (
      "two of a name", Onnx.model(Onnx.graph(initializers: [Onnx.tensor("a"), Onnx.tensor("a")])), "a: appears twice"
    ),
    ("a name that is none", Onnx.model(Onnx.graph(initializers: [[0x42, 0x01, 0xff]])), "is not UTF-8"),
  ])
  func whatDoesNotHoldIsRefused(_ what: String, _ file: [UInt8], _ reason: String) throws {
    let error = try error(file)
    #expect(error.contains(reason), "\(what): \(error)")
  }

  @Test func bombsAreRefused() throws {
    var graph = Onnx.graph()
    for _ in 0..<20 { graph = Onnx.graph(nodes: [Onnx.branch("n", graph)]) }
    #expect(try error(Onnx.model(graph)).contains("17 is more than the 16"))

    // Short names that a long path makes long.
    let small = Onnx.graph(
      initializers: (0..<9_000).map { Onnx.tensor("\($0)", shape: [0], data: []) })
    let long = Onnx.branch(String(repeating: "x", count: 2_000), small)
    #expect(try error(Onnx.model(Onnx.graph(nodes: [long]))).contains("names: 16"))
    let path = Onnx.branch(String(repeating: "x", count: 3_000), Onnx.graph(nodes: [long]))
    #expect(try error(Onnx.model(Onnx.graph(nodes: [path]))).contains("is more than the 4096"))
  }

  @Test func changedAndCutFilesAreReadOrRefused() throws {
    let file = [UInt8](try Data(contentsOf: URL(fileURLWithPath: CheckpointFileTests.path("branches.onnx"))))
    for seed in [21, 22, 23] as [UInt64] {
      try Fixtures.hostileVariants(of: file, seed: seed) { try Fixtures.withFile($0, HostileCheckpointTests.readAll) }
    }
  }
}
