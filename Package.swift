// swift-tools-version: 6.2
import PackageDescription

/// Every Swift target of the package is compiled under the same strict settings.
let strict: [SwiftSetting] = [
  .enableUpcomingFeature("ExistentialAny"),
  .enableUpcomingFeature("InternalImportsByDefault"),
  .enableUpcomingFeature("MemberImportVisibility"),
  .treatAllWarnings(as: .error),
]

let argumentParser: Target.Dependency = .product(name: "ArgumentParser", package: "swift-argument-parser")
let deque: Target.Dependency = .product(name: "DequeModule", package: "swift-collections")

/// A node imports messages, models and system libraries; never the runtime or another node.
func node(_ name: String, _ dependencies: [Target.Dependency] = []) -> Target {
  .target(
    name: name, dependencies: ["Dataflow", "Messages"] + dependencies, path: "Nodes/\(name)", swiftSettings: strict)
}

/// Tests of a node, with the harness that runs it.
func nodeTests(_ name: String, _ dependencies: [Target.Dependency] = [], exclude: [String] = []) -> Target {
  .testTarget(
    name: "\(name)Tests",
    dependencies: [.target(name: name), "Dataflow", "DataflowRuntime", "DataflowTesting", "Messages"] + dependencies,
    exclude: exclude, swiftSettings: strict)
}

let package = Package(
  name: "Antiphon",
  platforms: [.macOS(.v15)],
  products: [
    .executable(name: "antiphon", targets: ["Antiphon"]),
    .executable(name: "antiphon-bench", targets: ["AntiphonBench"]),
    .executable(name: "antiphon-check", targets: ["AntiphonCheck"]),
    .library(name: "Dataflow", targets: ["Dataflow"]),
  ],
  traits: [
    .default(enabledTraits: ["Resampling", "Flite", "Images", "EchoCancelling", "LiveAudio"]),
    .trait(name: "Resampling", description: "Resample audio files of any rate (libsamplerate)."),
    .trait(name: "Flite", description: "The flite-speech node (flite)."),
    .trait(name: "Images", description: "The image-capture node (libjpeg-turbo, libpng)."),
    .trait(name: "EchoCancelling", description: "The echo-canceller node (libspeexdsp)."),
    .trait(name: "LiveAudio", description: "Microphones and loudspeakers (PortAudio)."),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-argument-parser", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-collections", from: "1.6.0"),
    .package(url: "https://github.com/jpsim/Yams", from: "6.2.0"),
  ],
  targets: [
    // System libraries.
    .systemLibrary(name: "CZeroMQ", providers: [.apt(["libzmq3-dev"])]),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CSndfile", pkgConfig: "sndfile", providers: [.apt(["libsndfile1-dev"])]),
    .systemLibrary(name: "CSampleRate", pkgConfig: "samplerate", providers: [.apt(["libsamplerate0-dev"])]),
    .systemLibrary(name: "CFlite", providers: [.apt(["flite1-dev"])]),
    .systemLibrary(name: "CTurboJPEG", pkgConfig: "libturbojpeg", providers: [.apt(["libturbojpeg0-dev"])]),
    .systemLibrary(name: "CPortAudio", providers: [.apt(["portaudio19-dev"])]),
    .systemLibrary(name: "CPNG", pkgConfig: "libpng", providers: [.apt(["libpng-dev"])]),
    .systemLibrary(name: "CSpeexDSP", pkgConfig: "speexdsp", providers: [.apt(["libspeexdsp-dev"])]),

    // Models: numbers in, numbers out; nothing here knows of graphs.
    .target(name: "CKernels"),
    .target(name: "Tensors", dependencies: ["CKernels", "COpenBLAS"], swiftSettings: strict),
    // A model that is part of the program.
    .target(name: "CKeywordModel"),
    .target(
      name: "ModelKit", dependencies: ["CKeywordModel", "Tensors", .product(name: "Yams", package: "Yams")],
      swiftSettings: strict),

    // Every stage beside PyTorch's results, for the tests and for the table that tools/check prints.
    .target(name: "Parity", dependencies: ["ModelKit", "Tensors"], swiftSettings: strict),

    // Sound: files of it, and devices.
    .target(
      name: "CSoundRing",
      dependencies: [.target(name: "CPortAudio", condition: .when(traits: ["LiveAudio"]))],
      cSettings: [.define("LIVE_AUDIO", .when(traits: ["LiveAudio"]))]),
    .target(
      name: "Sound",
      dependencies: [
        "CSndfile", "CSoundRing", "Dataflow",
        .target(name: "CPortAudio", condition: .when(traits: ["LiveAudio"])),
        .target(name: "CSampleRate", condition: .when(traits: ["Resampling"])),
      ],
      swiftSettings: strict),

    // The runtime.
    .target(name: "ZeroMQ", dependencies: ["CZeroMQ"], swiftSettings: strict),
    .target(
      name: "GraphFile", dependencies: [.product(name: "Yams", package: "Yams")], swiftSettings: strict),
    .target(name: "Dataflow", swiftSettings: strict),
    .target(name: "Messages", dependencies: ["Dataflow"], swiftSettings: strict),
    .target(
      name: "DataflowRuntime", dependencies: ["Dataflow", "GraphFile", "ZeroMQ", deque], swiftSettings: strict),
    .target(
      name: "DataflowTesting", dependencies: ["Dataflow", "DataflowRuntime", "GraphFile", "Messages", deque],
      swiftSettings: strict),

    // The command.
    .executableTarget(
      name: "Antiphon",
      dependencies: [
        "DataflowRuntime", "Catalog", "Messages", "ModelKit", "Sound", "Tensors", "ZeroMQ", argumentParser,
      ],
      swiftSettings: strict),
    .target(name: "CRoofline"),
    .executableTarget(
      name: "AntiphonBench",
      dependencies: [
        "CRoofline", "CZeroMQ", "Catalog", "Dataflow", "DataflowRuntime", "GraphFile", "Messages", "ModelKit", "Sound",
        "Tensors", "VoiceActivity", "ZeroMQ", argumentParser,
        .target(name: "FliteSpeech", condition: .when(traits: ["Flite"])),
      ],
      swiftSettings: strict),
    .executableTarget(
      name: "AntiphonCheck", dependencies: ["ModelKit", "Parity", "Tensors", argumentParser], swiftSettings: strict),
    .target(
      name: "Catalog",
      dependencies: [
        "Dataflow",
        "Adapter",
        "AudioCapture",
        "AudioTokenHead",
        "ChatPrompt",
        "ConversationRecorder",
        "DetectionCheck",
        "KeywordDetector",
        "LLMStep",
        "ListenerDetector",
        "Microphone",
        "OmniPrompt",
        "PlaybackGate",
        "Room",
        "SnacDecoder",
        "SnacEncoder",
        "Speaker",
        "SpeechDetector",
        "TextHead",
        "TextInput",
        "TextOutput",
        "TranscriptDetector",
        "VisionEncoder",
        "VoiceActivity",
        "VoiceGate",
        "WhisperDecoder",
        "WhisperEncoder",
        .target(name: "EchoCanceller", condition: .when(traits: ["EchoCancelling"])),
        .target(name: "FliteSpeech", condition: .when(traits: ["Flite"])),
        .target(name: "ImageCapture", condition: .when(traits: ["Images"])),
      ],
      path: "Nodes/Catalog", swiftSettings: strict),

    // Nodes, a folder each.
    node("Adapter", ["ModelKit", "Tensors"]),
    node("AudioCapture", ["Sound"]),
    node("AudioTokenHead", ["ModelKit", "Tensors"]),
    node("ChatPrompt", ["ModelKit"]),
    node("ConversationRecorder", ["Sound"]),
    node("DetectionCheck", ["ModelKit", "Tensors"]),
    node("EchoCanceller", [.target(name: "CSpeexDSP", condition: .when(traits: ["EchoCancelling"]))]),
    node("FliteSpeech", [.target(name: "CFlite", condition: .when(traits: ["Flite"]))]),
    node(
      "ImageCapture",
      [
        .target(name: "CTurboJPEG", condition: .when(traits: ["Images"])),
        .target(name: "CPNG", condition: .when(traits: ["Images"])),
      ]),
    node("KeywordDetector", ["ModelKit"]),
    node("LLMStep", ["ModelKit", "Tensors"]),
    node("ListenerDetector", ["ModelKit", "Sound", "Tensors"]),
    node("Microphone", ["Sound"]),
    node("OmniPrompt", ["ModelKit", "Tensors"]),
    node("PlaybackGate"),
    node("Room", ["Sound"]),
    node("SnacDecoder", ["ModelKit", "Tensors"]),
    node("SnacEncoder", ["ModelKit", "Tensors"]),
    node("Speaker", ["Sound"]),
    node("SpeechDetector", ["ModelKit"]),
    node("VoiceActivity", ["ModelKit"]),
    node("TextHead", ["ModelKit", "Tensors"]),
    node("TextInput"),
    node("TextOutput"),
    node("TranscriptDetector", ["ModelKit", "Tensors"]),
    node("VisionEncoder", ["ModelKit", "Tensors"]),
    node("VoiceGate"),
    node("WhisperDecoder", ["ModelKit", "Tensors"]),
    node("WhisperEncoder", ["ModelKit", "Tensors"]),

    // Tests, a folder per target.
    .testTarget(name: "ZeroMQTests", dependencies: ["ZeroMQ"], swiftSettings: strict),
    .testTarget(
      name: "GraphFileTests", dependencies: ["GraphFile"],
      exclude: ["Valid", "Invalid"], swiftSettings: strict),
    .testTarget(
      name: "DataflowRuntimeTests",
      dependencies: ["Dataflow", "DataflowRuntime", "DataflowTesting", "GraphFile", "Messages", "VoiceGate"],
      swiftSettings: strict),
    .testTarget(
      name: "AntiphonTests",
      dependencies: [
        "Antiphon", "AntiphonBench", "Catalog", "DataflowRuntime", "GraphFile", "Messages", "ModelKit", "Tensors",
        "ZeroMQ",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "CascadeTests",
      dependencies: [
        "Catalog", "ChatPrompt", "Dataflow", "DataflowRuntime", "DataflowTesting", "GraphFile", "Messages", "ModelKit",
        .target(name: "FliteSpeech", condition: .when(traits: ["Flite"])),
      ],
      swiftSettings: strict),
    nodeTests("AudioCapture"),
    nodeTests("ConversationRecorder"),
    nodeTests("EchoCanceller", ["Room"]),
    nodeTests("FliteSpeech"),
    nodeTests("ImageCapture", exclude: ["Pictures"]),
    .testTarget(
      name: "KeywordDetectorTests",
      dependencies: [
        "Dataflow", "DataflowRuntime", "DataflowTesting", "KeywordDetector", "Messages", "ModelKit",
        "Tensors",
      ],
      swiftSettings: strict),
    .testTarget(
      name: "MiniOmni2Tests",
      dependencies: [
        "Adapter", "Catalog", "Dataflow", "DataflowRuntime", "DataflowTesting", "LLMStep", "Messages", "ModelKit",
        "Parity", "Tensors", "VisionEncoder", "WhisperEncoder",
      ],
      swiftSettings: strict),
    nodeTests("Microphone"),
    nodeTests("PlaybackGate"),
    .testTarget(name: "SoundTests", dependencies: ["CSoundRing", "Sound"], swiftSettings: strict),
    nodeTests("Speaker"),
    .testTarget(
      name: "DetectorTests",
      dependencies: [
        "Dataflow", "DataflowRuntime", "DataflowTesting", "DetectionCheck", "GraphFile", "ListenerDetector", "Messages",
        "ModelKit", "Parity", "SpeechDetector", "Tensors", "TranscriptDetector",
        .target(name: "FliteSpeech", condition: .when(traits: ["Flite"])),
      ],
      swiftSettings: strict),
    .testTarget(
      name: "SnacDecoderTests",
      dependencies: [
        "Dataflow", "DataflowRuntime", "DataflowTesting", "Messages", "ModelKit", "SnacDecoder", "SnacEncoder",
        "Tensors",
      ],
      swiftSettings: strict),
    nodeTests("VoiceActivity", ["ModelKit"]),
    nodeTests("TextOutput"),
    .testTarget(
      name: "ModelKitTests", dependencies: ["CAllocations", "ModelKit", "Parity", "Tensors"], exclude: ["Golden"],
      swiftSettings: strict),
    // Counts the allocations of whatever program it is linked into: of the tests.
    .target(name: "CAllocations", path: "Tests/CAllocations"),
  ],
  swiftLanguageModes: [.v6]
)
