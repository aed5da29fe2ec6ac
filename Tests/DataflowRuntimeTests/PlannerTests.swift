import Dataflow
import DataflowRuntime
import DataflowTesting
import Foundation
import GraphFile
import Messages
import Testing

/// Where processes find each other, and what programs in other languages are told.
@Suite struct PlannerTests {
  private func plan(
    _ graph: String, place: String? = nil, part: String? = nil, runDirectory: String? = nil,
    catalog: NodeCatalog = .scripts
  ) throws -> Plan {
    try Planner.plan(
      GraphDescription.parse(graph), placement: place.map { try Placement.parse($0) }, catalog: catalog,
      options: Planner.Options(runDirectory: runDirectory, part: part))
  }

  private func faults(_ make: () throws -> Plan) -> String {
    do {
      _ = try make()
      return ""
    } catch {
      return "\(error)"
    }
  }

  private func address(_ plan: Plan, _ edge: String) -> String? {
    plan.edges.first { $0.name == edge }.map { "\($0.transport)" }
  }

  private let chain = """
    antiphon: 1
    nodes: { a: { kind: script }, b: { kind: script }, c: { kind: script } }
    edges: [a.out -> b.in, b.out -> c.in]
    """

  @Test func partsOnOneOtherHostMeetAtTheirPorts() throws {
    let place = """
      antiphon: 1
      coordinator: tcp://127.0.0.1:5550
      parts:
        here: { nodes: [a], host: 127.0.0.1, ports: 6000-6009 }
        one: { nodes: [b], host: 127.0.0.2, ports: 6100-6109 }
        two: { nodes: [c], host: 127.0.0.2, ports: 6200-6209 }
      """
    for (part, directory) in [(nil, "/run/x"), ("one", nil), ("two", nil)] {
      let plan = try plan(chain, place: place, part: part, runDirectory: directory)
      #expect(address(plan, "a.out -> b.in") == "tcp://127.0.0.2:6100")
      #expect(address(plan, "b.out -> c.in") == "tcp://127.0.0.2:6200")
      #expect(plan.coordinator == "tcp://127.0.0.1:5550")
    }
  }

  @Test func partsThatTheCoordinatorStartsMeetInTheRunsFolder() throws {
    let place = """
      antiphon: 1
      coordinator: tcp://127.0.0.1:5550
      parts:
        here: { nodes: [a], host: 127.0.0.1, ports: 6000-6009 }
        there: { nodes: [b, c] }
      """
    #expect(address(try plan(chain, place: place, runDirectory: "/run/x"), "a.out -> b.in") == "ipc:///run/x/0")
  }

  @Test(arguments: [
    ("one", "antiphon: 1\nparts: { one: { nodes: [a] }, two: { nodes: [\"*\"] } }", "coordinator: tcp://HOST:PORT"),
    ("three", "antiphon: 1\nparts: { one: { nodes: [a] }, two: { nodes: [\"*\"] } }", "has no part 'three'; it has one, two"),
    (
      "one",
      "antiphon: 1\ncoordinator: tcp://127.0.0.1:5550\nparts: { one: { nodes: [a] }, two: { nodes: [\"*\"] } }",
      "started by the coordinator"
    ),
  ])
  func aPartThatCannotBeStartedByHandIsAFault(part: String, place: String, says: String) throws {
    let fault = faults { try plan(chain, place: place, part: part) }
    #expect(fault.contains(says), "\(fault)")
    // The coordinator itself starts it in its folder.
    if part == "one" { #expect(faults { try plan(chain, place: place, part: part, runDirectory: "/run/x") } == "") }
  }

  @Test func aPartOfNoPlacementIsAFault() {
    #expect(faults { try plan(chain, part: "one") }.contains("--place"))
  }

  @Test func whoIsStartedByHandNeedsACoordinatorsAddress() {
    let place = "antiphon: 1\nparts: { one: { nodes: [\"*\"], host: 127.0.0.1, ports: 6000-6009 } }"
    #expect(faults { try plan(chain, place: place) }.contains("placement.yaml:2:"))
  }

  private let shout = """
    antiphon: 1
    nodes:
      a: { kind: script }
      b: { kind: external, command: [./shout], inputs: { in: text }, outputs: { out: text }, with: { marks: 1.0, none: null } }
      c: { kind: script }
    edges: [a.out -> b.in, b.out -> c.in]
    """

  @Test func aProgramIsPlacedAsItsPartSays() throws {
    let place = """
      antiphon: 1
      coordinator: tcp://127.0.0.1:5550
      parts:
        rest: { nodes: [c], host: 127.0.0.1, ports: 6000-6009 }
        far:
          nodes: [a, b]
          host: 127.0.0.2
          ports: 6100-6109
          environment: { LEVEL: 3 }
          restart: { max: 2, backoff: 0.5 }
      """
    let plan = try plan(shout, place: place)
    let program = try #require(plan.parts.first { $0.isExternal })
    #expect(program.name == "b")
    #expect(program.host == "127.0.0.2")
    #expect(program.ports == 6100...6109)
    #expect(program.environment == ["LEVEL": "3"])
    #expect(program.restarts.limit == 2)
    #expect(program.restarts.backoff == 0.5)
    #expect(address(plan, "a.out -> b.in") == "tcp://127.0.0.2:6100")
    #expect(address(plan, "b.out -> c.in") == "tcp://127.0.0.1:6000")
    let command = try #require(plan.programCommand(of: program))
    #expect(command.contains("ANTIPHON_CONTROL=tcp://127.0.0.1:5550 ANTIPHON_PART=b LEVEL=3 ./shout"), "\(command)")
    #expect(faults { try self.plan(shout, place: place, part: "b") }.contains("another language"))
  }

  @Test func programsShareThePortsOfTheirPart() throws {
    let graph = """
      antiphon: 1
      nodes:
        a: { kind: script }
        b: { kind: external, command: [x], inputs: { in: text }, outputs: { out: text } }
        c: { kind: external, command: [x], inputs: { in: text } }
      edges: [a.out -> b.in, a.aside -> c.in]
      """
    let place = """
      antiphon: 1
      coordinator: tcp://127.0.0.1:5550
      parts:
        here: { nodes: [a] }
        far: { nodes: [b, c], host: 127.0.0.2, ports: 6100-6101 }
      """
    let plan = try plan(graph, place: place)
    let addresses = Set(["a.out -> b.in", "a.aside -> c.in"].compactMap { address(plan, $0) })
    #expect(addresses == ["tcp://127.0.0.2:6100", "tcp://127.0.0.2:6101"])
    let narrow = place.replacing("6100-6101", with: "6100")
    #expect(faults { try self.plan(graph, place: narrow) }.contains("more inbound edges than ports"))
  }

  @Test func aPartCannotHaveAProgramsName() {
    let place = "antiphon: 1\nparts: { b: { nodes: [a, b] }, rest: { nodes: [c] } }"
    #expect(faults { try plan(shout, place: place) }.contains("call the part something else"))
  }

  @Test func parametersReachAProgramAsTheyWereWritten() throws {
    let plan = try plan(shout)
    let parameters = try #require(plan.nodes.first { $0.name == "b" }?.external?.parameters)
    #expect(ParameterValue.map(parameters).json == #"{"marks":1.0,"none":null}"#)
    let values: Dataflow.ParameterValue = .map([
      "text": .string("a \"b\" \\ \n\u{1} é😀"), "list": .list([.int(-3), .bool(true), .double(1e300), .map([:])]),
    ])
    let read = try JSONSerialization.jsonObject(with: Data(values.json.utf8)) as? [String: Any]
    #expect(read?["text"] as? String == "a \"b\" \\ \n\u{1} é😀")
    #expect((read?["list"] as? [Any])?.count == 4)
  }

  @Test(arguments: [".nan", ".inf", "-.inf", "[1, { deep: .nan }]"])
  func noProgramIsGivenWhatIsNoNumber(value: String) {
    let graph = shout.replacing("marks: 1.0", with: "marks: \(value)")
    let fault = faults { try plan(graph) }
    #expect(fault.contains(":4:") && fault.contains("parameter marks"), "\(fault)")
  }

  @Test func whatFilesTellOfATypeIsCheckedHereAndAgreedOnNowhere() throws {
    let graph = """
      antiphon: 1
      nodes: { a: { kind: wide, with: { width: 3 } }, b: { kind: wide, with: { width: 3 } } }
      edges: [a.out -> b.in]
      """
    let catalog = NodeCatalog(nodes: [WideNode.self], messages: MessageTypes.all)
    let same = try plan(graph, catalog: catalog)
    #expect(same.edges[0].knownType == .features(dim: 3))
    #expect(same.edges[0].type == .features())
    #expect(same.report.contains("features[dim=3]"))
    let other = faults { try plan(graph.replacing("b: { kind: wide, with: { width: 3", with: "b: { kind: wide, with: { width: 4"), catalog: catalog) }
    #expect(other.contains("dim is 3, not 4"), "\(other)")
    let open = try plan(graph.replacing("b: { kind: wide, with: { width: 3", with: "b: { kind: wide, with: { width: 0"), catalog: catalog)
    #expect(open.report.contains(".in is checked later: no such model"), "\(open.report)")
  }

  @Test func aNodeThatGoesByTheClockIsNamed() throws {
    let graph = "antiphon: 1\nnodes: { a: { kind: wide, with: { width: 3, live: true } } }"
    let plan = try plan(graph, catalog: NodeCatalog(nodes: [WideNode.self], messages: MessageTypes.all))
    #expect(plan.determinism == ["a goes by the clock"])
  }

  @Test(arguments: [
    (["run", "a-b_c.yaml"], "run a-b_c.yaml"), (["--set", "system=Be brief: one line"], "--set 'system=Be brief: one line'"),
    (["it's", ""], "'it'\\''s' ''"), (["a;b", "*", "$HOME", "[1]"], "'a;b' '*' '$HOME' '[1]'"),
  ])
  func commandsCanBePasted(arguments: [String], shell: String) {
    #expect(shellCommand(arguments) == shell)
  }
}

/// Its features are as wide as a file says; 0 stands for a file that is not there.
private struct WideNode: Node {
  static let kind = "wide"
  static let summary = "Has features of a width that is only found out."
  struct Parameters: NodeParameters {
    let width: Int
    let isLive: Bool
    init(_ read: inout ParameterReader) {
      width = read("width", default: 0, help: "")
      isLive = read("live", default: false, help: "")
    }
  }
  struct Ports: PortSet {
    struct Missing: Error, CustomStringConvertible { let description = "no such model" }
    init(_ bind: inout PortBinder, _ parameters: Parameters) throws {
      func width() throws -> Int {
        if parameters.width == 0 { throw Missing() }
        return parameters.width
      }
      let _: Input<Features> = bind.input("in", found: .features(dim: try width()), optional: true, help: "")
      let _: Output<Features> = bind.output("out", found: .features(dim: try width()), help: "")
    }
  }
  static func goesByTheClock(_ parameters: Parameters) -> Bool { parameters.isLive }
  init(_ parameters: Parameters, _ context: NodeContext) throws {}
  func run(_ ports: Ports) async throws {}
}
