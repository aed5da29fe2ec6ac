import ArgumentParser
import Catalog
import Dataflow
import DataflowRuntime
import Foundation
import GraphFile

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate", abstract: "Checks a graph: every fault as file:line:column: message.")

  @OptionGroup var options: GraphOptions

  func run() throws {
    try plainly {
      let plan = try options.plan()
      Console.say("\(options.graph): \(plan.nodes.count) nodes, \(plan.edges.count) edges, no faults")
    }
  }
}

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Shows how a graph would run: nodes, edges, types, processes, addresses, commands.")

  @OptionGroup var options: GraphOptions

  func run() throws {
    try plainly {
      let plan = try options.plan()
      Console.result(plan.report)
      Console.result("\nTo run it:\n  " + shellCommand(options.command(allowingExternal: plan.startsPrograms)))
      for part in plan.parts where part.host != nil {
        let command = plan.programCommand(of: part) ?? shellCommand(options.command() + ["--part", part.name])
        Console.result("on \(part.host ?? ""):\n  \(command)")
      }
    }
  }
}

struct DrawCommand: ParsableCommand {
  enum Format: String, ExpressibleByArgument, CaseIterable { case dot, mermaid }

  static let configuration = CommandConfiguration(
    commandName: "draw", abstract: "Draws a graph, as text for a drawing program.")

  @OptionGroup var options: GraphOptions

  @Option(help: "dot (Graphviz) or mermaid.")
  var format = Format.mermaid

  func run() throws {
    try plainly {
      let plan = try options.plan()
      let graph = try options.loadGraph()
      var parts: [String: [String]] = [:]
      if plan.parts.count > 1 {
        for node in plan.nodes { parts[plan.parts[node.part].name, default: []].append(node.name) }
      }
      let label: (EdgeDescription) -> String? = { edge in
        plan.edges.first { $0.name == "\(edge.from) -> \(edge.to)" }.map { "\($0.knownType)" }
      }
      switch format {
      case .dot: Console.result(graph.dot(parts: parts, label: label))
      case .mermaid: Console.result(graph.mermaid(parts: parts, label: label))
      }
    }
  }
}

struct NodesCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "nodes", abstract: "Lists the kinds of node, or describes one.")

  @Argument(help: "The kind to describe.")
  var kind: String?

  func run() throws {
    guard let kind else {
      let width = Catalog.nodes.map { $0.kind.count }.max() ?? 0
      for type in Catalog.nodes.sorted(by: { $0.kind < $1.kind }) {
        Console.result(type.kind.padding(toLength: width + 2, withPad: " ", startingAt: 0) + type.summary)
      }
      return
    }
    guard let manifest = Catalog.standard.manifest(of: kind) else {
      let hint = nearest(kind, in: Catalog.nodes.map { $0.kind }).map { "; did you mean '\($0)'?" } ?? ""
      Console.say("antiphon: no node is of kind '\(kind)'\(hint)")
      throw ExitCode(1)
    }
    Console.result(manifest.report)
  }
}
