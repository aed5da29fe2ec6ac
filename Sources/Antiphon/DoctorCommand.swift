import ArgumentParser
import Catalog
import Dataflow
import DataflowRuntime
import Foundation
import ModelKit
import Tensors
import ZeroMQ

struct DoctorCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "doctor", abstract: "Shows what this machine has: libraries, kernels, devices, models.")

  func run() throws {
    show("machine", "\(processors), \(ProcessInfo.processInfo.physicalMemory >> 20) MiB of memory")
    let zeromq = libraryVersion
    show("libzmq", "\(zeromq.major).\(zeromq.minor).\(zeromq.patch)")
    show("OpenBLAS", Compute.libraryConfiguration)
    for library in libraries { show(library.name, library.version) }
    showKernels()
    show("Python", python)
    show("sound devices", devices(in: "/proc/asound", "card"))
    let graphics = ["/dev": "nvidia", "/dev/dri": "renderD"].sorted { $0.key < $1.key }
    show("GPUs", graphics.map { devices(in: $0.key, $0.value) }.first { $0 != "none" } ?? "none")
    for model in models { show("model", state(ofModel: model)) }
    show("nodes", Catalog.nodes.map { $0.kind }.sorted().joined(separator: ", "))
  }

  private func show(_ what: String, _ text: String) {
    Console.result(what.padding(toLength: 15, withPad: " ", startingAt: 0) + text)
  }

  private var processors: String {
    let count = ProcessInfo.processInfo.activeProcessorCount
    return "\(count) processor\(count == 1 ? "" : "s")"
  }

  /// Those that the nodes call, each once.
  private var libraries: [Library] {
    var seen: Set<Library> = []
    return Catalog.nodes.flatMap { $0.libraries }.filter { seen.insert($0).inserted }
  }

  private func showKernels() {
    let paths = KernelPath.allCases.filter(\.isCompiled).map {
      $0.rawValue + ($0.isSupported ? "" : " (needs another processor)")
    }
    show("kernels", "\(Compute.description); built for \(paths.joined(separator: ", "))")
    do {
      try Compute.check()
    } catch {
      show("", "\(error)")
    }
  }

  /// The environment that `tools/python/setup` makes.
  private var python: String {
    let folder = ProcessInfo.processInfo.environment["ANTIPHON_PYTHON"] ?? ModelFolder.cache + "/python"
    guard let settings = try? String(contentsOfFile: folder + "/pyvenv.cfg", encoding: .utf8),
      let ready = try? String(contentsOfFile: folder + "/ready", encoding: .utf8)
    else { return "none; nodes in Python need it: tools/python/setup" }
    let version = settings.split(separator: "\n").first { $0.hasPrefix("version") }?.split(separator: "=").last
    var packages: [Substring] = []
    for line in ready.split(separator: "\n") where !line.hasPrefix("#") {
      let name = line.prefix { $0.isLetter || $0.isNumber || $0 == "-" }
      if !packages.contains(name) { packages.append(name) }
    }
    let list = packages.joined(separator: ", ")
    return "\(version?.trimmingCharacters(in: .whitespaces) ?? "?") at \(folder), with \(list)"
  }

  /// Entries of a folder that are called `prefix` and a number.
  private func devices(in folder: String, _ prefix: String) -> String {
    let entries = (try? FileManager.default.contentsOfDirectory(atPath: folder)) ?? []
    let found = entries.filter { $0.hasPrefix(prefix) && Int($0.dropFirst(prefix.count)) != nil }.sorted()
    return found.isEmpty ? "none" : found.map { "\(folder)/\($0)" }.joined(separator: ", ")
  }

  /// The models that nodes ask for by default, but for those beside a graph, and those in the model cache.
  private var models: [String] {
    let defaults = Catalog.nodes.flatMap { $0.manifest().manifest.parameters }.compactMap { parameter in
      parameter.form == ParameterReader.formOfModel ? parameter.defaultValue?.description : nil
    }
    let names = defaults.filter { !$0.isEmpty && !$0.contains("/") }
    let folders = (try? FileManager.default.contentsOfDirectory(atPath: ModelFolder.root)) ?? []
    return Set(names + folders.filter { !$0.hasPrefix(".") }).subtracting([KeywordModel.builtInName]).sorted()
  }

  private func state(ofModel name: String) -> String {
    guard let path = try? ModelFolder.path(name) else { return "\(name): missing: tools/models fetch \(name)" }
    let missing = ModelFolder.missingFiles(at: path)
    if missing.isEmpty { return "\(name): \(path)" }
    return "\(name): \(path) lacks \(missing.joined(separator: ", ")): tools/models fetch \(name)"
  }
}
