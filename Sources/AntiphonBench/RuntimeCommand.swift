import ArgumentParser
import Foundation

/// Our edges and raw libzmq, in turn, and dora-rs beside them.
struct RuntimeCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "runtime", abstract: "Throughput and latency of edges, beside raw libzmq and dora-rs.")

  @Option(help: "Which carriers, with commas between: direct, inproc, ipc, tcp, curve.")
  var carriers = "direct,inproc,ipc,tcp,curve"
  @Option(help: "Which sizes in bytes, with commas between.")
  var sizes = "16,4096,65536,4194304"
  @Option(help: "How often each is measured; the medians are told.")
  var rounds = 5
  @Option(help: "Seconds that each measurement sends.")
  var seconds = 0.3
  @Option(help: "The script that measures dora-rs.")
  var dora: String?
  @Flag(help: "Print everything as JSON.")
  var json = false
  @Flag(help: "Measure throughput alone.")
  var throughputOnly = false
  @Flag(help: "Measure latency alone.")
  var latencyOnly = false
  @Flag(help: "Measure our edges alone, as a profiler wants it.")
  var oursOnly = false

  func run() async throws {
    let machine = Machine.current()
    let carriers = try carriers.split(separator: ",").map { name in
      guard let carrier = Course.Carrier(rawValue: String(name)) else { throw ValidationError("no carrier \(name)") }
      return carrier
    }
    let sizes = try sizes.split(separator: ",").map { size in
      guard let size = Int(size), (1...16 << 20).contains(size) else { throw ValidationError("no size \(size)") }
      return size
    }
    var results: [RuntimeResult] = []
    for carrier in carriers {
      for size in sizes {
        let result = try await measure(Course(carrier: carrier, size: size))
        results.append(result)
        FileHandle.standardError.write(Data("\(carrier.title) \(sizeText(size)) measured\n".utf8))
      }
    }
    let dora = measureDora(sizes)
    if json {
      let report = RuntimeReport(machine: machine, edges: results, dora: dora)
      let encoder = JSONEncoder()
      encoder.outputFormatting = [.prettyPrinted, .sortedKeys]
      encoder.nonConformingFloatEncodingStrategy = .convertToString(
        positiveInfinity: "inf", negativeInfinity: "-inf", nan: "nan")
      print(String(decoding: try encoder.encode(report), as: UTF8.self))
    } else {
      show(machine, results, dora)
    }
  }

  /// One pair after the other, each time in the other order, so that neither has the quieter moments.
  private func measure(_ course: Course) async throws -> RuntimeResult {
    var result = RuntimeResult(course: course)
    let (ours, raw) = (EdgeRuns(course: course, seconds: seconds), RawZeroMQ(course: course, seconds: seconds))
    for round in 0..<rounds {
      for isOurs in round % 2 == 0 ? [true, false] : [false, true] where isOurs || !oursOnly {
        if !latencyOnly {
          let pace = isOurs ? try await ours.pace() : try raw.pace()
          result[isOurs].rate.add(pace.rate)
          result[isOurs].cost.add(pace.cost)
          if isOurs {
            let pace = try await ours.pace(inBatches: true)
            result.batched.rate.add(pace.rate)
            result.batched.cost.add(pace.cost)
          }
          if !isOurs, course.carrier.crossesSockets {
            let pace = try RawZeroMQ(course: course, seconds: seconds, isRelayed: true).pace()
            result.relayed.rate.add(pace.rate)
            result.relayed.cost.add(pace.cost)
          }
        }
        if !throughputOnly {
          let delays = isOurs ? try await ours.delays() : try raw.delays()
          result[isOurs].p50.add(delays.quantile(0.5))
          result[isOurs].p99.add(delays.quantile(0.99))
        }
      }
    }
    return result
  }

  private func show(_ machine: Machine, _ results: [RuntimeResult], _ dora: [DoraResult]) {
    print("Edges of a graph beside raw libzmq (its C API), \(rounds) rounds in alternating order, medians (least-most)")
    print(machine.description + "\n")
    var rates = TextTable([
      "throughput", "antiphon /s", "", "in batches /s", "", "raw zmq /s", "", "of raw", "with our threads /s", "of it",
      "CPU µs", "batches", "raw", "threads",
    ])
    var delays = TextTable(["one way, µs", "antiphon p50", "p99", "raw zmq p50", "p99", "p50 of raw"])
    for result in results {
      let name = "\(result.course.carrier.title) \(sizeText(result.course.size))"
      let (ours, batched, raw, relayed) = (result.ours, result.batched, result.raw, result.relayed)
      rates.add([
        name, rateText(ours.rate.median), spread(ours.rate), rateText(batched.rate.median), spread(batched.rate),
        rateText(raw.rate.median), spread(raw.rate), ratios(ours, batched, to: raw),
        relayed.rate.isEmpty ? "" : rateText(relayed.rate.median), ratios(ours, batched, to: relayed),
        microsecondText(ours.cost.median, 2), microsecondText(batched.cost.median, 2),
        microsecondText(raw.cost.median, 2),
        relayed.cost.isEmpty ? "" : microsecondText(relayed.cost.median, 2),
      ])
      delays.add([
        name, microsecondText(ours.p50.median), microsecondText(ours.p99.median), microsecondText(raw.p50.median),
        microsecondText(raw.p99.median), ratio(ours.p50, raw.p50),
      ])
    }
    if !latencyOnly { print(rates.description + "\n") }
    if !throughputOnly { print(delays.description + "\n") }
    print(
      """
      In batches: the node takes what has come several messages at once; the second of two ratios is of that.
      direct is compared with raw inproc. Hops of a message, ours: direct, node - mailbox - node; inproc, the same with
      two sockets between; ipc and tcp, node - wire thread - I/O thread - network - I/O thread - wire thread - node.
      Raw: thread - socket - thread; over ipc and tcp, thread - I/O thread - network - I/O thread - thread. Raw with our
      threads: the thread that makes messages and the one that takes them are not those that own the sockets, but hand
      over inproc, as nodes do; its rate is what a graph's own threads leave of libzmq's.
      """)
    if !dora.isEmpty {
      var table = TextTable(["dora-rs, its Python API", "messages /s", "MB/s", "one way p50 µs", "p99"])
      for result in dora {
        table.add([
          sizeText(result.size), rateText(result.rate), String(format: "%.0f", result.rate * Double(result.size) / 1e6),
          microsecondText(result.p50), microsecondText(result.p99),
        ])
      }
      print("\n" + table.description)
    }
  }

  private func ratio(_ a: Samples, _ b: Samples) -> String {
    a.isEmpty || b.isEmpty ? "" : String(format: "%.2f", a.median / b.median)
  }

  private func ratios(_ ours: RuntimeResult.Side, _ batched: RuntimeResult.Side, to raw: RuntimeResult.Side) -> String {
    raw.rate.isEmpty ? "" : "\(ratio(ours.rate, raw.rate)), \(ratio(batched.rate, raw.rate))"
  }

  private func spread(_ samples: Samples) -> String {
    samples.isEmpty ? "" : "(\(rateText(samples.least))-\(rateText(samples.most)))"
  }

  private func measureDora(_ sizes: [Int]) -> [DoraResult] {
    guard let dora else { return [] }
    let process = Process()
    process.executableURL = URL(fileURLWithPath: "/usr/bin/env")
    process.arguments = [dora] + sizes.map(String.init)
    let output = Pipe()
    process.standardOutput = output
    do {
      try process.run()
      let bytes = output.fileHandleForReading.readDataToEndOfFile()
      process.waitUntilExit()
      return try JSONDecoder().decode([DoraResult].self, from: bytes)
    } catch {
      FileHandle.standardError.write(Data("dora-rs was not measured: \(error)\n".utf8))
      return []
    }
  }
}

/// Everything `antiphon-bench runtime` measured.
struct RuntimeReport: Codable {
  var machine: Machine
  var edges: [RuntimeResult]
  var dora: [DoraResult]
}

/// Both contestants on one course.
struct RuntimeResult: Codable {
  struct Side: Codable {
    /// Messages a second.
    var rate = Samples()
    /// Nanoseconds of processor time a message.
    var cost = Samples()
    /// Nanoseconds.
    var p50 = Samples()
    var p99 = Samples()
  }
  var course: Course
  var ours = Side()
  /// Ours, with nodes that send and take messages several at once; rates alone.
  var batched = Side()
  var raw = Side()
  /// Raw libzmq with as many threads as our edges have; rates alone.
  var relayed = Side()

  init(course: Course) { self.course = course }

  subscript(isOurs: Bool) -> Side {
    get { isOurs ? ours : raw }
    set { if isOurs { ours = newValue } else { raw = newValue } }
  }
}

/// What the dora-rs script prints, one for each size.
struct DoraResult: Codable {
  var size: Int
  /// Messages a second.
  var rate: Double
  /// Nanoseconds one way.
  var p50: Double
  var p99: Double
}
