import GraphFile
import Testing

@Suite struct HashTests {
  static let text = """
    antiphon: 1
    nodes:
      a: { kind: clock, with: { rate: 2, name: x } }
      b: { kind: meter }
    edges:
      - a.tick -> b.tick
      - { from: a.tock, to: b.tock, depth: 4 }
    """

  func hash(_ text: String, overrides: [String] = []) throws -> String {
    try GraphDescription.parse(text, overrides: overrides).hash
  }

  @Test func layoutOrderAndCommentsDoNotMatter() throws {
    let same = """
      # The same graph.
      edges: [{ to: b.tock, depth: 0x4, policy: block, from: a.tock }, "a.tick->b.tick"]
      description: with words
      nodes:
        b:
          kind: "meter"
        a:
          with: { name: 'x', rate: 2 }
          kind: clock
      antiphon: 1
      """
    #expect(try hash(Self.text) == hash(same))
  }

  @Test(arguments: [
    ("rate: 2", "rate: 3"), ("rate: 2", "rate: 2.0"), ("kind: meter", "kind: meters"), ("depth: 4", "depth: 5"),
    ("depth: 4", "depth: 4, policy: fail"), ("depth: 4", "depth: 4, transport: inproc"), ("name: x", "name: y"),
    ("  - a.tick -> b.tick\n", ""), ("tock, depth", "tack, depth"),
  ])
  func everythingElseMatters(_ old: String, _ new: String) throws {
    #expect(try hash(Self.text) != hash(Self.text.replacing(old, with: new)))
  }

  @Test func overrideCountsLikeTheFileThatSaysTheSame() throws {
    let changed = Self.text.replacing("rate: 2", with: "rate: 3")
    #expect(try hash(Self.text, overrides: ["a.rate=3"]) == hash(changed))
  }

  @Test(arguments: [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
    (
      String(repeating: "a", count: 1_000_000), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"
    ),
  ])
  func digestsAreThoseOfTheStandard(_ message: String, _ digest: String) {
    #expect(SHA256.hex(Array(message.utf8)) == digest)
  }

  @Test func digestsOfEveryPaddingDiffer() {
    let digests = (0...130).map { SHA256.hex([UInt8](repeating: 0, count: $0)) }
    #expect(Set(digests).count == digests.count)
  }
}
