import Foundation
import Testing
import ZeroMQ

struct Z85Tests {
  @Test func agreesWithTheSpecification() throws {
    let bytes: [UInt8] = [0x86, 0x4f, 0xd2, 0x6f, 0xb5, 0x59, 0xf7, 0x5b]
    #expect(try Z85.encode(bytes) == "HelloWorld")
    #expect(try Z85.decode("HelloWorld") == bytes)
    #expect(try Z85.encode([UInt8]()) == "")
    #expect(try Z85.encode([255, 255, 255, 255]) == "%nSc0")
  }

  @Test func faultsSayWhere() {
    #expect(throws: Z85.Fault.length(4)) { try Z85.decode("Hell") }
    #expect(throws: Z85.Fault.length(3)) { try Z85.encode([1, 2, 3]) }
    #expect(throws: Z85.Fault.character(at: 6)) { try Z85.decode("HelloW~rld") }
    #expect(throws: Z85.Fault.character(at: 0)) { try Z85.decode("~Hell") }
    #expect(throws: Z85.Fault.character(at: 0)) { try Z85.decode("é123") }
    #expect(throws: Z85.Fault.overflow(at: 5)) { try Z85.decode("00000%nSc1") }
    #expect(throws: Z85.Fault.overflow(at: 0)) { try Z85.decode("#####") }
  }

  @Test func anyBytesSurviveAndAnyTextIsJudged() throws {
    var random = SystemRandomNumberGenerator()
    for _ in 0..<2000 {
      let bytes = (0..<4 * Int.random(in: 0...10, using: &random)).map { _ in UInt8.random(in: 0...255, using: &random)
      }
      #expect(try Z85.decode(Z85.encode(bytes)) == bytes)
      let noise = String(decoding: (0..<Int.random(in: 0...50)).map { _ in UInt8.random(in: 0...255) }, as: UTF8.self)
      // Whatever is accepted is the one spelling of its bytes.
      if let decoded = try? Z85.decode(noise) { #expect(try Z85.encode(decoded) == noise) }
      _ = try? AllowList(parsing: noise)
    }
  }
}

struct KeyTests {
  @Test func secretsImplyPublicKeysAndAreNotShown() throws {
    let pair = try CurveKeyPair.generate()
    #expect(try CurveKeyPair(secretKey: pair.secretKey) == pair)
    #expect(try CurvePublicKey(z85: pair.publicKey.z85) == pair.publicKey)
    #expect(CurvePublicKey(bytes: pair.publicKey.bytes) == pair.publicKey)
    #expect(try pair != .generate())
    var dumped = ""
    dump(pair, to: &dumped)
    for text in ["\(pair.secretKey)", "\(pair)", String(reflecting: pair), dumped] {
      #expect(!text.contains(pair.secretKey.revealedZ85))
    }
    #expect(CurvePublicKey(bytes: [1, 2]) == nil)
  }

  @Test func malformedKeysAreExplained() throws {
    func message(_ text: String) -> String? {
      #expect(throws: CurveKeyError.self) { try CurvePublicKey(z85: text) }?.message
    }
    #expect(message("short")?.contains("40 characters") == true)
    #expect(message(String(repeating: "a", count: 39) + "~")?.contains("character 40") == true)
    #expect(message(String(repeating: "#", count: 40))?.contains("characters 1 to 5") == true)
  }

  @Test func secretFilesAreForTheirOwnerOnly() throws {
    let folder = try TemporaryFolder()
    let path = folder.file("secret")
    let pair = try CurveKeyPair.generate()
    try pair.write(secretKeyFile: path)
    #expect(try folder.mode(of: "secret") == 0o600)
    #expect(try CurveKeyPair(secretKeyFile: path) == pair)

    let other = try CurveKeyPair.generate()
    let refusal = #expect(throws: CurveKeyError.self) { try other.write(secretKeyFile: path) }
    #expect(refusal?.kind == .exists)
    #expect(try CurveKeyPair(secretKeyFile: path) == pair)
    try other.write(secretKeyFile: path, replacing: true)
    #expect(try CurveKeyPair(secretKeyFile: path) == other)
    #expect(try folder.mode(of: "secret") == 0o600)
    #expect(try FileManager.default.contentsOfDirectory(atPath: folder.path) == ["secret"])

    for mode in [0o640, 0o604, 0o620, 0o644] {
      try FileManager.default.setAttributes([.posixPermissions: mode], ofItemAtPath: path)
      let error = #expect(throws: CurveKeyError.self) { try CurveKeyPair(secretKeyFile: path) }
      #expect(error?.kind == .exposed)
      #expect(error?.description.contains("chmod 600 \(path)") == true)
    }
  }

  @Test func linksAreNotWrittenThrough() throws {
    let folder = try TemporaryFolder()
    try FileManager.default.createSymbolicLink(atPath: folder.file("link"), withDestinationPath: folder.file("target"))
    let pair = try CurveKeyPair.generate()
    #expect(throws: CurveKeyError.self) { try pair.write(secretKeyFile: folder.file("link")) }
    #expect(!FileManager.default.fileExists(atPath: folder.file("target")))
  }

  @Test func faultySecretFilesNameTheLine() throws {
    let folder = try TemporaryFolder()
    let pair = try CurveKeyPair.generate()
    let other = try CurveKeyPair.generate()
    func error(_ text: String) throws -> CurveKeyError? {
      let path = folder.file("secret")
      try? FileManager.default.removeItem(atPath: path)
      #expect(
        FileManager.default.createFile(atPath: path, contents: Data(text.utf8), attributes: [.posixPermissions: 0o600]))
      return #expect(throws: CurveKeyError.self) { try CurveKeyPair(secretKeyFile: path) }
    }
    #expect(try error("")?.message.contains("no line `secret KEY`") == true)
    #expect(try error("# note\n\nsecret abc\n")?.line == 3)
    #expect(try error("private \(pair.secretKey.revealedZ85)")?.line == 1)
    #expect(try error("secret")?.line == 1)
    #expect(
      try error("secret \(pair.secretKey.revealedZ85)\npublic \(other.publicKey.z85)")?.message.contains("belong")
        == true)
    #expect(try error(String(repeating: "x", count: 2 << 20))?.message.contains("too large") == true)
    // Not even a faulty secret is repeated.
    let typo = pair.secretKey.revealedZ85.dropLast()
    #expect(try error("secret \(typo)")?.description.contains(typo) == false)
    let missing = #expect(throws: CurveKeyError.self) { try CurveKeyPair(secretKeyFile: folder.file("none")) }
    #expect(missing?.kind == .system(errno: ENOENT))
    let directory = #expect(throws: CurveKeyError.self) { try CurveKeyPair(secretKeyFile: folder.path) }
    #expect(directory?.message == "not a regular file")
  }

  @Test func allowListsHoldNamesAndComments() throws {
    let folder = try TemporaryFolder()
    let keys = try (0..<3).map { _ in try CurveKeyPair.generate().publicKey }
    // A key may hold the comment's sign, though none begins with it.
    let sharp = try CurvePublicKey(z85: "0###0" + keys[2].z85.dropFirst(5))
    let text = "# people\n\n\(keys[0])  # Ann\r\n#people\r\n  \(keys[1])\t\n\(sharp) ## Bob # junior\n#\n"
    let list = try AllowList(parsing: text)
    #expect(list.entries.map(\.key) == [keys[0], keys[1], sharp])
    #expect(list.entries.map(\.name) == ["Ann", "", "Bob # junior"])

    try CurveKeyPair.generate().write(publicKeyFile: folder.file("public"), name: "Eve\nof two lines")
    let one = try AllowList(file: folder.file("public"))
    #expect(one.entries.map(\.name) == ["Eve of two lines"])
    #expect(try AllowList(parsing: "").entries.isEmpty)
  }

  @Test func faultyAllowListsNameFileAndLine() throws {
    let key = try CurveKeyPair.generate().publicKey
    func error(_ text: String) -> String? {
      #expect(throws: CurveKeyError.self) { try AllowList(parsing: text, file: "clients") }?.description
    }
    #expect(error("\n\(key) Ann")?.hasPrefix("clients:2: expected `# name`") == true)
    #expect(error("key")?.hasPrefix("clients:1: a key has 40 characters") == true)
    #expect(error("\(key)\n\(key)")?.hasPrefix("clients:2: the same key as in line 1") == true)
  }
}
