import Foundation

/// Measured values, of which the middle and the spread are told.
struct Samples: Codable {
  private var values: [Double] = []

  mutating func add(_ value: Double) { values.append(value) }

  var isEmpty: Bool { values.isEmpty }
  var median: Double { quantile(0.5) }
  var least: Double { values.min() ?? .nan }
  var most: Double { values.max() ?? .nan }

  func quantile(_ fraction: Double) -> Double {
    let sorted = values.sorted()
    return sorted.isEmpty ? .nan : sorted[Int((Double(sorted.count - 1) * fraction).rounded())]
  }
}

/// Columns of text, right-aligned but for the first.
struct TextTable {
  private var rows: [[String]]

  init(_ header: [String]) { rows = [header] }

  mutating func add(_ row: [String]) { rows.append(row) }

  var description: String {
    let widths = rows.reduce(into: [Int](repeating: 0, count: rows[0].count)) { widths, row in
      for (column, cell) in row.enumerated() { widths[column] = max(widths[column], cell.count) }
    }
    return rows.map { row in
      row.enumerated().map { column, cell in
        let fill = String(repeating: " ", count: widths[column] - cell.count)
        return column == 0 ? cell + fill : fill + cell
      }.joined(separator: "  ")
    }.joined(separator: "\n")
  }
}

/// `1.25 M`, `830 k`, `42`.
func rateText(_ rate: Double) -> String {
  switch rate {
  case 1e6...: String(format: "%.2f M", rate / 1e6)
  case 1e4...: String(format: "%.0f k", rate / 1e3)
  case 1e3...: String(format: "%.1f k", rate / 1e3)
  default: String(format: "%.0f", rate)
  }
}

/// Nanoseconds as microseconds.
func microsecondText(_ time: Double, _ digits: Int = 1) -> String {
  String(format: "%.\(time < 1e5 ? digits : 0)f", time / 1e3)
}

/// `16 B`, `4 KB`.
func sizeText(_ bytes: Int) -> String {
  switch bytes {
  case (1 << 20)...: "\(bytes >> 20) MB"
  case (1 << 10)...: "\(bytes >> 10) KB"
  default: "\(bytes) B"
  }
}

/// What the numbers were measured on.
struct Machine: Codable {
  var processor: String
  var cores: Int
  var system: String
  /// Processes that wanted to run, over the last minute, when the measurement began.
  var load: Double
  var date: String

  static func current() -> Machine {
    let information = (try? String(contentsOfFile: "/proc/cpuinfo", encoding: .utf8)) ?? ""
    let model = information.split(separator: "\n").first { $0.hasPrefix("model name") }
    let loads = (try? String(contentsOfFile: "/proc/loadavg", encoding: .utf8)) ?? ""
    return Machine(
      processor: model.flatMap { $0.split(separator: ":").last }.map { $0.trimmingCharacters(in: .whitespaces) }
        ?? "unknown processor",
      cores: ProcessInfo.processInfo.activeProcessorCount,
      system: ProcessInfo.processInfo.operatingSystemVersionString,
      load: loads.split(separator: " ").first.flatMap { Double($0) } ?? .nan,
      date: ISO8601DateFormatter().string(from: Date()))
  }

  /// The most memory that this process has had, in bytes.
  static var peakMemory: Int {
    var usage = rusage()
    getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage)
    return Int(usage.ru_maxrss) * 1024
  }

  var description: String {
    "\(processor), \(cores) cores, \(system), load \(String(format: "%.1f", load)) at the start, \(date)"
  }
}
