import Foundation
import GraphFile
import Testing

@Suite struct OverrideTests {
  static let path = "\(Fixture.directory)/Valid/everything.yaml"

  func node(_ id: String, overrides: [String] = [], swaps: [String] = []) throws -> NodeDescription {
    let graph = try GraphDescription.load(path: Self.path, overrides: overrides, swaps: swaps)
    return try #require(graph.nodes.first { $0.id == id })
  }

  @Test func graphParameterReachesEveryUse() throws {
    let capture = try node("capture", overrides: ["rate=48000"])
    #expect(capture.with["rate"]?.content == .int(48000))
    #expect(capture.with["label"]?.content == .string("from audio/question.wav at 48000"))
    let speech = try node("speech", overrides: ["rate=48000"])
    #expect(speech.external?.outputs.first?.type.value == "audio[rate=48000, channels=1]")
  }

  @Test func nodeParameterIsReplacedOrAdded() throws {
    let llm = try node("llm", overrides: ["llm.seed=7", "llm.system=Be brief: one line", "llm.seed=8"])
    #expect(llm.with["seed"]?.content == .int(8))
    #expect(llm.with["system"]?.content == .string("Be brief: one line"))
    #expect(llm.with["seed"]?.location == .argument("--set llm.seed=8"))
  }

  @Test func subgraphAndItsNodesCanBeSet() throws {
    #expect(
      try node("ears/inner/decoder", overrides: ["ears.model=base"]).with["model"]?.content == .string("whisper-base"))
    #expect(try node("ears/inner/decoder", overrides: ["ears/inner/decoder.beams=5"]).with["beams"]?.content == .int(5))
  }

  @Test(arguments: [
    ("1", ParameterValue.Content.int(1)), ("-0.5", .double(-0.5)), ("true", .bool(true)), ("", .null),
    ("\"1\"", .string("1")), ("a.wav", .string("a.wav")), ("a: b", .string("a: b")),
    ("# no comment", .string("# no comment")),
    ("x=y", .string("x=y")), ("*", .string("*")),
  ])
  func valueIsAPlainScalarOrYAML(_ text: String, _ content: ParameterValue.Content) throws {
    #expect(try node("llm", overrides: ["llm.x=\(text)"]).with["x"]?.content == content)
  }

  @Test func listsAndMappingsAreYAML() throws {
    let value = try node("llm", overrides: ["llm.x={a: [1, b], c: null}"]).with["x"]
    #expect(value.map { "\($0)" } == "{a: [1, b], c: null}")
  }

  @Test func swapChangesTheKindAndKeepsTheFormerOne() throws {
    let speech = try node("speech", swaps: ["speech=flite-speech"])
    #expect(speech.kind.value == "flite-speech")
    #expect(speech.external == nil)
    #expect(speech.swappedFrom?.value == "external")
    #expect(try node("ears", swaps: ["ears=all-in-one"]).kind.value == "all-in-one")
  }

  @Test func swapCanPutASubgraphInPlace() throws {
    let scratch = try Scratch()
    let file = try scratch.write(
      """
      antiphon: 1
      inputs: { text: voice.text }
      outputs: { speech: voice.speech }
      nodes:
        voice: { kind: flite-speech }
      """, to: "voice.yaml")
    let graph = try withExtendedLifetime(scratch) {
      try GraphDescription.load(path: Self.path, swaps: ["speech=\(file)"])
    }
    #expect(graph.nodes.contains { $0.id == "speech/voice" && $0.directory == scratch.path })
    #expect(graph.edges.contains { "\($0)" == "speech/voice.speech -> speaker.audio" })
  }

  @Test(arguments: [
    ("llm", "--set llm: error: write --set NODE.PARAM=VALUE or --set PARAM=VALUE"),
    ("lm.seed=1", "--set lm.seed=1: error: there is no node 'lm' to set 'seed' of; did you mean 'llm.seed'?"),
    (
      "rat=1",
      "--set rat=1: error: the graph has no parameter 'rat'; a node's is set with NODE.rat=VALUE; did you mean 'rate'?"
    ),
    (
      "ears.modle=x",
      "--set ears.modle=x: error: the graph 'parts/ears.yaml' has no parameter 'modle'; did you mean 'model'?"
    ),
    (
      "llm.x=[1",
      "--set llm.x=[1: error: the value is not YAML: ',' or ']' is expected here (the bracket was opened in line 1)"
    ),
    ("llm.=1", "--set llm.=1: error: 'llm.' is neither NODE.PARAM nor PARAM"),
    (
      "rate=[1]", "everything.yaml:12:58: error: the parameter 'rate' is a list and cannot be part of a text"
    ),
    (
      "llm.x=99999999999999999999",
      "--set llm.x=99999999999999999999: error: the integer 99999999999999999999 does not fit 64 bits"
    ),
  ])
  func faultySettingIsExplained(_ argument: String, _ message: String) {
    #expect(Scratch.faults(Self.path, overrides: [argument]).first == message)
  }

  @Test(arguments: [
    ("llm", "--swap llm: error: write --swap NODE=KIND"),
    ("speach=flite", "--swap speach=flite: error: there is no node 'speach' to swap; did you mean 'speech'?"),
    ("speech=Flite", "--swap speech=Flite: error: 'Flite' is neither a kind nor a graph file (.yaml)"),
    (
      "speech=external",
      "--swap speech=external: error: a node cannot be swapped for an external one this way; put that in a subgraph and"
        + " swap in its file"
    ),
    ("speech=no-such.yaml", "--swap speech=no-such.yaml: error: the file 'no-such.yaml' does not exist"),
  ])
  func faultySwapIsExplained(_ argument: String, _ message: String) {
    #expect(Scratch.faults(Self.path, swaps: [argument]).first == message)
  }
}
