import ArgumentParser
import ModelKit

/// A row of the table of stages.
enum Stage: String, CaseIterable, Codable, ExpressibleByArgument {
  case step = "llm-step"
  case neededStep = "llm-step-needed"
  case lateStep = "llm-step-late"
  case prefill
  case whisperSmall = "whisper-small"
  case whisperTiny = "whisper-tiny"
  case clip
  case snac

  /// The position of a measured step, and the columns of a measured prompt: 3 s of speech. Peers are given the same, in
  /// `tools/bench.d/peers/shapes.py`.
  static let stepPosition = 300
  static let promptColumns = 155

  var title: String {
    switch self {
    case .step: "LLM step, two rows at position 300, all heads on both rows: equal work"
    case .neededStep: "LLM step, two rows at position 300, the heads that an answer needs: ours alone leaves any out"
    case .lateStep: "LLM step after the text has ended: one row, no text head; beside the step of two rows"
    case .prefill: "Prefill of 3 s of speech, 155 positions to the first logits: one row (ours forks the last position)"
    case .whisperSmall: "Whisper-small, a padded window of 30 s"
    case .whisperTiny: "Whisper-tiny, a padded window of 30 s"
    case .clip: "CLIP ViT-B/32, one picture"
    case .snac: "SNAC 24 kHz, decoding: ours frame by frame with state, peers a second at once"
    }
  }

  /// What figures of this stage count.
  enum Unit: String, Codable {
    case milliseconds = "ms"
    /// Time for sound of length 1.
    case realTimeFactor = "real-time factor"
  }

  var unit: Unit { self == .snac ? .realTimeFactor : .milliseconds }

  /// Who else does the same.
  var peers: [Peer] {
    switch self {
    case .step, .neededStep: Peer.torch("language-step") + Peer.llama("language-step")
    case .lateStep: []
    case .prefill: Peer.torch("language-prefill") + Peer.llama("language-prefill")
    case .whisperSmall: Peer.torch("whisper-small") + Peer.whisper("whisper-small")
    case .whisperTiny: Peer.torch("whisper-tiny") + Peer.whisper("whisper-tiny")
    case .clip: Peer.torch("clip")
    case .snac: Peer.torch("snac")
    }
  }

  /// What ours should reach.
  var targets: [Target] {
    switch self {
    case .step, .neededStep:
      [
        Target("bf16", .most(45), .faster("llama.cpp BF16", 1.3), .faster("PyTorch bf16", 4)),
        Target("int8", .most(22), .faster("llama.cpp Q8_0", 2.2), .faster("PyTorch bf16", 8)),
        Target("int4", .most(14), .faster("llama.cpp Q4_0", 1.9)),
      ]
    case .lateStep:
      WeightPrecision.allCases.map { Target($0.rawValue, .share(Self.twoRows($0), 0.65)) }
    case .prefill: [Target(nil, .most(400))]
    case .whisperSmall:
      [
        Target("bf16", .most(1250), .faster("PyTorch bf16", 1), .faster("whisper.cpp f16", 2.5)),
        Target("int8", .most(800), .faster("PyTorch bf16", 1), .faster("whisper.cpp q8_0", 4)),
      ]
    case .whisperTiny: [Target(nil, .faster("PyTorch bf16", 1))]
    case .clip: [Target(nil, .most(60))]
    case .snac: [Target(nil, .most(0.08))]
    }
  }

  /// Our step of two rows, as the step of one is compared with it.
  static func twoRows(_ weights: WeightPrecision) -> String { "\(weights.rawValue), two rows" }
}

/// A stage of another implementation: what a worker of `tools/bench.d/peers/worker.py` is asked for.
struct Peer: Hashable {
  /// `torch`, `llama.cpp` or `whisper.cpp`.
  var library: String
  var stage: String
  /// Of its weights, as the library names it.
  var kind: String
  /// Which of several builds, where `install.py` makes several.
  var build: String?

  var name: String {
    switch library {
    case "torch": "PyTorch \(kind)"
    case "llama.cpp": "llama.cpp \(kind.uppercased())"
    default: "\(library) \(kind)" + (build.map { ", \($0)" } ?? "")
    }
  }

  static func torch(_ stage: String) -> [Peer] {
    ["fp32", "bf16"].map { Peer(library: "torch", stage: stage, kind: $0) }
  }
  static func llama(_ stage: String) -> [Peer] {
    ["bf16", "q8_0", "q4_0"].map { Peer(library: "llama.cpp", stage: stage, kind: $0) }
  }
  static func whisper(_ stage: String) -> [Peer] {
    ["f16", "q8_0"].flatMap { kind in
      ["wheel", "native"].map { Peer(library: "whisper.cpp", stage: stage, kind: kind, build: $0) }
    }
  }
}

/// What one of ours should reach in a stage.
struct Target {
  enum Goal {
    /// In the stage's unit.
    case most(Double)
    /// So many times as fast as a peer, of several builds the fastest.
    case faster(_ peer: String, Double)
    /// At most this share of what another of ours takes.
    case share(_ name: String, Double)
  }
  /// How the weights are kept; nil for whichever is the fastest.
  var weights: String?
  var goals: [Goal]

  init(_ weights: String?, _ goals: Goal...) { (self.weights, self.goals) = (weights, goals) }
}
