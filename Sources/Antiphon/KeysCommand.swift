import ArgumentParser
import Foundation
import ZeroMQ

struct KeysCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "keys", abstract: "Makes and shows the keys that processes on different machines know each other by.",
    subcommands: [New.self, List.self])

  struct New: ParsableCommand {
    static let configuration = CommandConfiguration(
      abstract: "Makes a key pair for each name: NAME.key (secret, mode 0600) and NAME.pub, and allows them all.",
      discussion: """
        Name every part of the placement, and 'coordinator'. Each machine needs the secret keys of the parts it runs, \
        every .pub file, and the file 'allowed'. A secret key belongs on no other machine.
        """)

    @Argument(help: "Parts of the placement, and 'coordinator'.")
    var names: [String]

    @Option(help: "The folder for the keys; it is made with mode 0700.")
    var directory = "keys"

    func validate() throws {
      for name in names where name.isEmpty || name.contains(where: { "/\\".contains($0) }) || name.hasPrefix(".") {
        throw ValidationError("'\(name)' is no name for a key.")
      }
      if Set(names).count < names.count { throw ValidationError("a name stands twice.") }
    }

    func run() throws { try plainly(make) }

    /// All or nothing: what was made is taken away again when something fails, so that the command can be repeated.
    private func make() throws {
      let existing = names.map(secretFile).filter { FileManager.default.fileExists(atPath: $0) }
      if !existing.isEmpty { throw KeysExist(files: existing) }
      try FileManager.default.createDirectory(
        atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
      let allowed = "\(directory)/allowed"
      var list = FileManager.default.fileExists(atPath: allowed) ? try AllowList(file: allowed).entries : []
      list.removeAll { names.contains($0.name) }
      var made: [String] = []
      do {
        for name in names {
          let pair = try CurveKeyPair.generate()
          try pair.write(secretKeyFile: secretFile(name))
          made.append(secretFile(name))
          try pair.write(publicKeyFile: "\(directory)/\(name).pub", name: name, replacing: true)
          list.append(AllowList.Entry(key: pair.publicKey, name: name))
        }
        let text = "# Public keys that may connect, one a line.\n" + list.map { "\($0)\n" }.joined()
        try Data(text.utf8).write(to: URL(fileURLWithPath: allowed), options: .atomic)
      } catch {
        for file in made { try? FileManager.default.removeItem(atPath: file) }
        throw error
      }
      for entry in list where names.contains(entry.name) {
        Console.say("\(secretFile(entry.name))  \(entry.key.z85)")
      }
    }

    private func secretFile(_ name: String) -> String { "\(directory)/\(name).key" }
  }

  /// A secret key is never overwritten.
  struct KeysExist: Error, CustomStringConvertible {
    let files: [String]
    var description: String {
      "\(files.joined(separator: ", ")) \(files.count == 1 ? "is" : "are") there already, and nothing was made; "
        + "leave out those names, or remove the files if the keys are to be replaced"
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists who is allowed.")

    @Option(help: "The folder with the keys.")
    var directory = "keys"

    func run() throws {
      try plainly {
        for entry in try AllowList(file: "\(directory)/allowed").entries { Console.result("\(entry)") }
      }
    }
  }
}
