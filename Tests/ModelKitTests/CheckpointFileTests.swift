import Foundation
import ModelKit
import Tensors
import Testing

/// Files that PyTorch and the libraries of safetensors and ONNX wrote (`tools/golden.d/checkpoints.py`).
@Suite struct CheckpointFileTests {
  struct Expected: Decodable {
    struct Entry: Decodable {
      var name: String
      var type: String
      var shape: [Int]
      var values: [Double]
    }
    var tensors: [Entry]
    var settings: [String: String]
  }

  static let folder = Fixtures.golden.appendingPathComponent("Checkpoints")

  static func path(_ name: String) -> String { folder.appendingPathComponent(name).path }

  @Test(arguments: [
    "flat.pth", "nested.pt", "lit_model.pth", "protocol-4.pth", "traced.pt", "scripted.pt", "model.safetensors",
    "sharded", "branches.onnx",
  ])
  func whatWasWrittenIsRead(_ name: String) throws {
    let all: [String: Expected] = try Fixtures.decode("Checkpoints/expected.json")
    let expected = try #require(all[name])
    let checkpoint = try Checkpoints.open(Self.path(name))
    #expect(Set(checkpoint.tensors.map(\.name)) == Set(expected.tensors.map(\.name)))
    for entry in expected.tensors {
      let stored = try checkpoint.stored(entry.name, shape: entry.shape)
      #expect(stored.type.rawValue == entry.type, "\(entry.name)")
      let values = try checkpoint.tensor(entry.name, shape: entry.shape).floats()
      #expect(values == entry.values.map { Float($0) }, "\(entry.name)")
    }
    for (key, value) in expected.settings { #expect(checkpoint.settings[key]?.description == value) }
  }

  @Test func numbersStayWhereTheyAreWhenKernelsCanReadThem() throws {
    let flat = try Checkpoints.open(Self.path("flat.pth"))
    #expect(flat.format == .pyTorch)
    let (base, tied) = (try flat.stored("base"), try flat.stored("tied"))
    #expect(base.offset == tied.offset && base.strides == nil)
    #expect(try flat.stored("columns").strides == [6, 1])
    #expect(try flat.stored("columns").offset == base.offset + 4 * 8)
    #expect(try base.tensor().start == tied.tensor().start)
    #expect(try flat.tensor("brain", shape: [2, 2]).type == .bf16)
    #expect(try flat.tensor("brain.transposed", shape: [3, 2]).type == .bf16)
    #expect(try flat.tensor("long", shape: [3]).type == .f32)
  }

  @Test func formatsAreToldByTheirContent() throws {
    #expect(try Checkpoints.open(Self.path("traced.pt")).format == .torchScript)
    #expect(try Checkpoints.open(Self.path("sharded")).format == .safetensors)
    let format = try Fixtures.withFile(SmallModel.file()) { try Checkpoints.open($0).format }
    #expect(format == .gguf)
  }

  @Test func settingsAreReadWithTheirRange() throws {
    let nested = try Checkpoints.open(Self.path("nested.pt"))
    #expect(try nested.integer("dims.n_mels", in: 1...1024) == 80)
    #expect(try nested.real("dims.ratio") == 0.5)
    #expect(try nested.string("dims.kind") == "tower")
    let error = try #require(throws: ModelError.self) { try nested.integer("dims.n_mels", in: 1...10) }
    #expect(error.reason == .unexpected(expected: "an integer from 1 to 10", found: "80"))
    #expect(throws: ModelError.self) { try nested.integer("dims.other", in: 1...10) }
  }

  @Test func aWrongShapeNamesFileTensorExpectedAndFound() throws {
    let path = Self.path("model.safetensors")
    let checkpoint = try Checkpoints.open(path)
    let error = try #require(throws: ModelError.self) { try checkpoint.tensor("weight", shape: [4, 3]) }
    #expect(error == ModelError(file: path, part: "weight", .unexpected(expected: "shape [4, 3]", found: "[3, 4]")))
    let missing = try #require(throws: ModelError.self) { try checkpoint.tensor("bias", shape: [4]) }
    #expect(missing.reason == .missing)
  }

  @Test(arguments: [
    ("os-system.pth", "system is refused"),
    ("whole-module.pth", "the global torch.nn.modules.linear.Linear is refused"),
    ("before-1.6.pth", "a bare pickle"), ("deflated.pth", "deflate"),
  ])
  func whatIsNotReadIsRefusedByName(_ name: String, _ reason: String) throws {
    let error = try #require(throws: ModelError.self) { try Checkpoints.open(Self.path(name)) }
    #expect(error.description.contains(reason), "\(error)")
    #expect(error.file.hasSuffix(name))
  }

  @Test func aZip64ArchiveIsRead() throws {
    var zip = TorchBuilder.zip(PickleText.whole(PickleText.dictionary([("weight", PickleText.tensor())])))
    for isZip64 in [false, true] {
      for comment in [[], Array("a comment".utf8)] {
        (zip.isZip64, zip.comment) = (isZip64, comment)
        let values = try Fixtures.withFile(zip.bytes()) { path in
          try Checkpoints.open(path).tensor("weight", shape: [2, 2]).floats()
        }
        #expect(values == [1, 2, 3, 4])
      }
    }
  }

  @Test func cancellingStopsTheReader() throws {
    struct Stop: Error {}
    for name in ["flat.pth", "model.safetensors", "sharded"] {
      #expect(throws: Stop.self) { try Checkpoints.open(Self.path(name)) { throw Stop() } }
    }
  }
}
