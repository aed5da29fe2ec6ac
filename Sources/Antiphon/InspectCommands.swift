import ArgumentParser
import Catalog
import Dataflow
import DataflowRuntime
import Foundation
import GraphFile
import ModelKit
import Tensors
import ZeroMQ

struct ValidateCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "validate", abstract: "Checks a graph: every fault as file:line:column: message.")

  @OptionGroup var options: GraphOptions

  func run() throws {
    do {
      let plan = try options.plan()
      Console.say("\(options.graph): \(plan.nodes.count) nodes, \(plan.edges.count) edges, no faults")
    } catch let error as GraphFileError {
      for diagnostic in error.diagnostics { Console.say("\(diagnostic)") }
      throw ExitCode(1)
    }
  }
}

struct PlanCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "plan",
    abstract: "Shows how a graph would run: nodes, edges, types, processes, addresses, commands.")

  @OptionGroup var options: GraphOptions

  func run() throws {
    do {
      let plan = try options.plan()
      Console.result(plan.report)
      if options.placement != nil {
        Console.result("\nEach part is a process of its own:")
        for part in plan.parts where !part.isExternal {
          let place = part.host.map { "on \($0), by hand: " } ?? ""
          Console.result(
            "  \(place)" + (options.command(runDirectory: "RUN") + ["--part", part.name]).joined(separator: " "))
        }
      }
    } catch let error as GraphFileError {
      for diagnostic in error.diagnostics { Console.say("\(diagnostic)") }
      throw ExitCode(1)
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
    do {
      let plan = try options.plan()
      let graph = try options.loadGraph()
      var parts: [String: [String]] = [:]
      if plan.parts.count > 1 {
        for node in plan.nodes { parts[plan.parts[node.part].name, default: []].append(node.name) }
      }
      let label: (EdgeDescription) -> String? = { edge in
        plan.edges.first { $0.name == "\(edge.from) -> \(edge.to)" }.map { "\($0.type)" }
      }
      switch format {
      case .dot: Console.result(graph.dot(parts: parts, label: label))
      case .mermaid: Console.result(graph.mermaid(parts: parts, label: label))
      }
    } catch let error as GraphFileError {
      for diagnostic in error.diagnostics { Console.say("\(diagnostic)") }
      throw ExitCode(1)
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
      throw ValidationError("no node is of kind '\(kind)'\(hint)")
    }
    Console.result(manifest.report)
  }
}

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Shows what this machine has: libraries, kernels, models.")

  func run() throws {
    let zeromq = libraryVersion
    Console.result("libzmq     \(zeromq.major).\(zeromq.minor).\(zeromq.patch)")
    Console.result("kernels    \(Compute.description)")
    Console.result("processors \(ProcessInfo.processInfo.activeProcessorCount)")
    Console.result("memory     \(ProcessInfo.processInfo.physicalMemory >> 20) MiB")
    for name in ["whisper-tiny.en", "whisper-base", "smollm2-135m-instruct"] {
      let state = (try? ModelFolder.path(name)) ?? "missing: tools/models fetch \(name)"
      Console.result("model      \(name): \(state)")
    }
    Console.result("nodes      \(Catalog.nodes.map { $0.kind }.sorted().joined(separator: ", "))")
  }
}
