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
    }

    func run() throws {
      do {
        try FileManager.default.createDirectory(
          atPath: directory, withIntermediateDirectories: true, attributes: [.posixPermissions: 0o700])
        let allowed = "\(directory)/allowed"
        var list = FileManager.default.fileExists(atPath: allowed) ? try AllowList(file: allowed).entries : []
        for name in names {
          let pair = try CurveKeyPair.generate()
          try pair.write(secretKeyFile: "\(directory)/\(name).key")
          try pair.write(publicKeyFile: "\(directory)/\(name).pub", name: name, replacing: true)
          list.removeAll { $0.name == name }
          list.append(AllowList.Entry(key: pair.publicKey, name: name))
          Console.say("\(directory)/\(name).key  \(pair.publicKey.z85)")
        }
        let text = "# Public keys that may connect, one a line.\n" + list.map { "\($0)\n" }.joined()
        try Data(text.utf8).write(to: URL(fileURLWithPath: allowed), options: .atomic)
      } catch let error as CurveKeyError {
        throw ValidationError("\(error)")
      }
    }
  }

  struct List: ParsableCommand {
    static let configuration = CommandConfiguration(abstract: "Lists who is allowed.")

    @Option(help: "The folder with the keys.")
    var directory = "keys"

    func run() throws {
      do {
        for entry in try AllowList(file: "\(directory)/allowed").entries { Console.result("\(entry)") }
      } catch {
        throw ValidationError("\(error)")
      }
    }
  }
}
