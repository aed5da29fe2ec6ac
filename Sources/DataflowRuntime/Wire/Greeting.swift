import Dataflow

/// What the sender of an edge says first.
package struct Greeting: Equatable {
  package var edge: UInt32
  /// Counts the sender's greetings on the edge: only the answer to the last one is valid.
  package var attempt: UInt32
  package var incarnation: UInt64
  package var schema: UInt64
  package var token: String
  package var graph: String
  package var type: String
  package var part: String
  package var settings: RunSettings

  /// The whole message.
  package var bytes: [UInt8] {
    var bytes = ByteWriter()
    bytes.preamble(.hello)
    write(into: &bytes)
    return bytes.bytes
  }

  private func write(into bytes: inout ByteWriter) {
    bytes.put(edge)
    bytes.put(attempt)
    bytes.put(incarnation)
    bytes.put(schema)
    bytes.put(settings.seed)
    bytes.put(UInt32(settings.threads))
    for text in [token, graph, type, part, settings.kernels] { bytes.put(text) }
  }

  package init(
    edge: UInt32, attempt: UInt32, incarnation: UInt64, schema: UInt64, token: String, graph: String, type: String,
    part: String, settings: RunSettings
  ) {
    self.edge = edge
    self.attempt = attempt
    self.incarnation = incarnation
    self.schema = schema
    self.token = token
    self.graph = graph
    self.type = type
    self.part = part
    self.settings = settings
  }

  /// - Parameter bytes: the message, behind the preamble.
  package init(afterPreamble bytes: inout ByteReader) throws(WireError) {
    edge = try bytes.take()
    attempt = try bytes.take()
    incarnation = try bytes.take()
    schema = try bytes.take()
    settings = RunSettings(seed: try bytes.take(), threads: Int(try bytes.take(UInt32.self)), kernels: "")
    token = try bytes.takeText()
    graph = try bytes.takeText()
    type = try bytes.takeText()
    part = try bytes.takeText()
    settings.kernels = try bytes.takeText()
  }

  /// Why the receiver of the edge does not take the sender; nil if it does.
  func objection(edge index: Int, plan: Plan, token expected: String) -> String? {
    let edge = plan.edges[index]
    let sender = plan.nodes[edge.from.node]
    if token != expected { return "\(part) does not belong to this run" }
    if self.edge != UInt32(index) { return "this is the address of \(edge.name)" }
    if graph != plan.hash {
      return "\(part) runs another graph (\(graph.prefix(16)), not \(plan.hash.prefix(16)))"
    }
    if part != plan.parts[sender.part].name { return "\(edge.name) comes from part \(plan.parts[sender.part].name)" }
    if schema != edge.type.schemaID { return "\(edge.name) carries \(edge.type), but \(part) sends \(type)" }
    if sender.external == nil, settings != plan.settings {
      return "\(part) computes with \(settings), this process with \(plan.settings): the answer's bytes would differ"
    }
    return nil
  }
}

extension RunSettings: CustomStringConvertible {
  public var description: String { "seed \(seed), \(threads) threads, \(kernels)" }
}
