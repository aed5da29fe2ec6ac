#if Flite
  import ArgumentParser
  import Catalog
  import Dataflow
  import DataflowRuntime
  import Foundation
  import GraphFile
  import Messages
  import Sound
  import Tensors

  /// Conversations with the whole duplex graph, in each of which a command is spoken into an answer.
  struct DuplexCommand: AsyncParsableCommand {
    static let configuration = CommandConfiguration(
      commandName: "duplex",
      abstract: "From a spoken command to silence, in whole conversations with a duplex assistant (synthetic speech).",
      discussion: """
        Time is simulated and charged with what each node computes, as if every node had a core for itself; with \
        --real-time it is the machine's own.
        """)

    @Argument(help: "The folder of sounds that 'tools/bench detect-sounds' made.")
    var sounds: String
    @Option(help: "The graph.")
    var graph = "Graphs/duplex.yaml"
    @Option(name: .customLong("swap"), help: "Another node, as in 'antiphon run'; may be given several times.")
    var swaps: [String] = []
    @Option(name: .customLong("set"), help: "A parameter, as in 'antiphon run'; may be given several times.")
    var settings: [String] = []
    @Option(help: "How many conversations.")
    var conversations = 40
    @Option(help: "Conditions of the sounds whose commands are used, for example 'clean'.")
    var condition = "clean"
    @Option(help: "Threads that compute.")
    var threads = 2
    @Option(help: "The Whisper model that writes down what could be heard of the answers.")
    var listener = "whisper-base"
    @Flag(help: "On the machine's own clock.")
    var realTime = false
    @Flag(help: "Print everything as JSON.")
    var json = false

    func validate() throws {
      guard (1...10_000).contains(conversations) else {
        throw ValidationError("--conversations must be from 1 to 10000")
      }
      guard (1...64).contains(threads) else { throw ValidationError("--threads must be from 1 to 64") }
    }

    func run() async throws {
      Compute.setThreads(threads)
      let scripts = try DuplexScript.all(conversations, from: sounds, condition: condition)
      let listener = try Listener(model: listener)
      var result = DuplexResult(
        machine: Machine.current(), kernels: Compute.description,
        time: realTime ? "the machine's own time" : "simulated time, charged with what nodes compute",
        condition: condition)
      for (index, script) in scripts.enumerated() {
        let course = try await hold(script)
        try result.add(course, of: script, listener)
        FileHandle.standardError.write(Data("\r\(index + 1) of \(scripts.count) conversations".utf8))
      }
      FileHandle.standardError.write(Data("\n".utf8))
      json ? try print(result.json()) : print(result.description)
    }

    private func hold(_ script: DuplexScript) async throws -> DuplexCourse {
      let directory = try RunDirectory()
      let listen = "\(directory.path)/user.wav"
      let record = "\(directory.path)/conversation.wav"
      let file = try WaveFile(path: listen, rate: DuplexScript.rate, channels: 1)
      try script.samples.withUnsafeBufferPointer { try file.append($0) }
      let catalog = NodeCatalog(nodes: Catalog.nodes, messages: MessageTypes.all)
      let plan = try Planner.plan(
        GraphDescription.load(
          path: graph, overrides: ["listen=\(listen)", "record=\(record)", "pace=device", "ahead=30"] + settings,
          swaps: swaps),
        catalog: catalog,
        options: Planner.Options(
          settings: RunSettings(threads: threads, kernels: Compute.description), runDirectory: directory.path))
      let clock: any TimeSource = realTime ? SystemTime() : SimulatedTime(nodes: plan.nodes.count)
      let summary = try await GraphRun(plan: plan, catalog: catalog, options: GraphRun.Options(), clock: clock)
        .run { _ in }
      if let failure = summary.failure { throw BenchError(failure) }
      return try DuplexCourse(record: record, turns: summary.turns)
    }
  }
#endif
