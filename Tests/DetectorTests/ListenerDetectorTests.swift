import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import GraphFile
import ListenerDetector
import Messages
import ModelKit
import Parity
import Testing

/// The node around random weights, which take some noises for commands and others not.
@Suite(.timeLimit(.minutes(2))) struct ListenerDetectorTests {
  private let sound = Goldens.speech(54, count: 160_000).map { Float($0) / 32_768 }

  private func parameters(
    _ model: ListeningModel, _ more: [String: Dataflow.ParameterValue] = [:]
  ) -> [String: Dataflow.ParameterValue] {
    ["model": .string(model.path), "weights": .string("stored"), "refractory": .int(300)].merging(more) { $1 }
  }

  @Test(arguments: Carrier.allCases) func whatTheRowSaysIsFound(over carrier: Carrier) async throws {
    // At the codec's own rate nothing is resampled, and what must be found is known.
    let model = try ListeningModel(rate: 16_000)
    let listener = try ModelStore.shared.miniOmni2Listener(at: model.path, codec: model.path + "/snac")
    let (runner, stream) = (try MiniOmni2ListenerRunner(listener), try MiniOmni2ListenerStream(listener))
    var decision = KeywordDecision(wanted: [0], threshold: 0.9, average: 1, refractory: 2)
    var expected: [Detection] = []
    try sound.withUnsafeBufferPointer { sound in
      try runner.push(sound, to: stream) { probability in
        guard let hit = decision.feed(probability) else { return }
        let extent = stream.extent()
        expected.append(
          Detection(
            .command, label: "irq", start: Int64(extent.lowerBound) * 62_500, end: Int64(extent.upperBound) * 62_500,
            score: hit.score))
      }
    }
    #expect(expected.count > 3)
    let found = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound], over: carrier)[0]
    #expect(found == expected)
    #expect(found.allSatisfy { $0.start <= $0.end && $0.end <= 10_000_000_000 })
  }

  @Test func neitherChunksNorNeighboursMatter() async throws {
    let model = try ListeningModel()
    let alone = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound])[0]
    #expect(alone.count > 3)
    let other = Array(sound.reversed())
    for chunk in [7, 333, 16_000] {
      let both = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound, other], chunk: chunk)
      #expect(both[0] == alone, "chunks of \(chunk)")
      #expect(both[1] != alone)
    }
    let late = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound], from: 7_000_000_000)[0]
    #expect(late.map(\.end) == alone.map { $0.end + 7_000_000_000 })
  }

  @Test func anInterruptionChangesNothing() async throws {
    let model = try ListeningModel()
    let expected = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound])[0]
    var found: [Detection] = []
    try await withNode(ListenerDetectorNode.self, parameters: parameters(model)) { node in
      // The second session hears with what the first has left.
      for name in ["first", "second"] {
        let session = try await node.beginSession(name)
        for place in stride(from: 0, to: sound.count, by: 320) {
          let chunk = AudioChunk(samples: SharedBuffer(sound[place..<place + 320]), rate: 16_000)
          try await node.send(chunk, to: "audio", turn: Turn(session, epoch: 0), time: Int64(place) * 62_500)
          if place == 80_000 { node.interrupt(session) }
        }
        node.endSession(session)
      }
      node.finish()
      while let event = try await node.next() {
        if case .message(_, let value, _, _) = event, let detection = value as? Detection { found.append(detection) }
      }
    }
    #expect(found == expected + expected)
  }

  @Test func nothingIsFoundInNonsense() async throws {
    let model = try ListeningModel(threshold: 1)
    let broken = (0..<48_000).map { $0 % 3 == 0 ? Float.nan : .infinity }
    let found = try await detections(ListenerDetectorNode.self, parameters(model), in: [broken, [], [0.1]])
    #expect(found.allSatisfy { $0.isEmpty || $0.allSatisfy { $0.score == 1 } })
  }

  @Test func aSingleCommandIsCalledByItsName() async throws {
    let model = try ListeningModel(commands: ["stop omni"])
    let plain = try await detections(ListenerDetectorNode.self, parameters(model), in: [sound])[0]
    #expect(plain.first?.label == "stop omni")
    let asked = parameters(model, ["commands": .list([.string("Stop, Omni!")])])
    #expect(try await detections(ListenerDetectorNode.self, asked, in: [sound])[0].first?.label == "Stop, Omni!")
  }

  // MARK: What is refused when the graph is validated

  private func faults(_ parameters: [String: Dataflow.ParameterValue]) -> String {
    let errors = ListenerDetectorNode.manifest(reading: ParameterReader(parameters)).errors
    return errors.map(\.description).joined(separator: "\n")
  }

  @Test func aModelThatWasNotTaughtToListenIsRefused() throws {
    let model = try ListeningModel(commands: nil)
    let fault = faults(parameters(model))
    #expect(fault.hasPrefix("model: "))
    #expect(fault.contains("listener.json: missing: this model was not taught to hear commands; tools/train/omni"))
    // A model that is not here may be on the machine that runs the node.
    #expect(faults(["model": .string("/nowhere/omni")]).isEmpty)
  }

  @Test(arguments: [
    (["language": Dataflow.ParameterValue.string("zh")], "language: 'zh' is not known to"),
    (["commands": .list([.string("stop"), .string("halt")])], "commands: 'halt' is not known to"),
    (["commands": .list([.string("stop"), .string("wait")])], "commands: 'stop omni' cannot be left out"),
    (["codec": .string("/nowhere/snac")], "model: /nowhere/snac: cannot be opened"),
    (["threshold": .double(2)], "threshold: 2.0 is not between 0"),
  ])
  func whatItWasNotTaughtIsRefused(_ more: [String: Dataflow.ParameterValue], _ fault: String) throws {
    let model = try ListeningModel()
    #expect(faults(parameters(model)) == "")
    let found = faults(parameters(model, more))
    #expect(found.hasPrefix(fault), "\(found)")
  }

  /// `./models/omni` counts from the graph's folder, wherever the command is given.
  @Test func theDefaultModelLiesBesideTheGraph() throws {
    let model = try ListeningModel(commands: nil)
    let folder = NSTemporaryDirectory() + "antiphon-beside-\(UUID().uuidString)"
    let files = FileManager.default
    try files.createDirectory(atPath: folder + "/models", withIntermediateDirectories: true)
    defer { try? files.removeItem(atPath: folder) }
    try files.createSymbolicLink(atPath: folder + "/models/omni", withDestinationPath: model.path)
    let graph = folder + "/graph.yaml"
    try Data("antiphon: 1\nnodes: { ear: { kind: \(ListenerDetectorNode.kind) } }\nedges: []\n".utf8)
      .write(to: URL(fileURLWithPath: graph))
    let catalog = NodeCatalog(nodes: [ListenerDetectorNode.self], messages: MessageTypes.all)
    let error = try #require(throws: GraphFileError.self) {
      try Planner.plan(GraphDescription.load(path: graph), catalog: catalog, options: Planner.Options())
    }
    #expect("\(error)".contains("\(model.path)/listener.json: missing"), "\(error)")
  }
}
