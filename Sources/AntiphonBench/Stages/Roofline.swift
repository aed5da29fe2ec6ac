import CRoofline
import Dispatch
import Foundation

/// What this machine can do at most, measured beside the stages.
struct Roofline: Codable {
  /// Of a matrix product.
  enum Arithmetic: String, Codable, CaseIterable {
    case fp32, bf16, int8

    fileprivate var code: Int32 {
      switch self {
      case .fp32: Int32(ROOFLINE_FP32)
      case .bf16: Int32(ROOFLINE_BF16)
      case .int8: Int32(ROOFLINE_INT8)
      }
    }
  }

  var threads: Int
  /// Bytes a second, read from memory by one thread, and by all.
  var readByOne = 0.0
  var read = 0.0
  /// Operations a second of all threads, two for each multiply-add; only what the processor has instructions for.
  var operations: [String: Double] = [:]

  static func measured(threads: Int) -> Roofline {
    var roofline = Roofline(threads: threads)
    for arithmetic in Arithmetic.allCases {
      let rate = best { operations(arithmetic, threads: threads) }
      if rate > 0 { roofline.operations[arithmetic.rawValue] = rate }
    }
    // Far more than caches hold.
    let size = 512 << 20
    let memory = UnsafeMutableRawPointer.allocate(byteCount: size, alignment: 2 << 20)
    defer { memory.deallocate() }
    #if os(Linux)
      // Pages as large as can be had: looking up small ones costs time, too.
      madvise(memory, size, Int32(MADV_HUGEPAGE))
    #endif
    memset(memory, 1, size)
    let readable = UnsafeRawPointer(memory)
    roofline.readByOne = best { reading(readable, size, threads: 1) }
    roofline.read = best { reading(readable, size, threads: threads) }
    return roofline
  }

  /// The shortest time that some work can take, in seconds.
  func bound(_ work: StageWork) -> Double {
    let computing = operations[work.arithmetic.rawValue].map { work.operations / $0 } ?? 0
    return max(computing, work.bytes / read)
  }

  var description: String {
    let rates = Arithmetic.allCases.compactMap { arithmetic in
      operations[arithmetic.rawValue].map { String(format: "%@ %.0f G", arithmetic.rawValue, $0 / 1e9) }
    }
    return String(
      format: "reads %.1f GB/s by one thread, %.1f by %d; operations a second by %d: %@", readByOne / 1e9, read / 1e9,
      threads, threads, rates.joined(separator: ", "))
  }

  /// What others do meanwhile only makes it slower.
  private static func best(_ rate: () -> Double) -> Double { (0..<5).map { _ in rate() }.max() ?? 0 }

  private static func operations(_ arithmetic: Arithmetic, threads: Int) -> Double {
    let rounds = 5_000_000
    let each = roofline_multiply(arithmetic.code, 1) * Double(rounds)
    guard each > 0 else { return 0 }
    let time = seconds {
      DispatchQueue.concurrentPerform(iterations: threads) { _ in _ = roofline_multiply(arithmetic.code, rounds) }
    }
    return each * Double(threads) / time
  }

  private static func reading(_ memory: UnsafeRawPointer, _ size: Int, threads: Int) -> Double {
    let part = size / threads / 1024 * 1024
    // The address as a number: threads only read what lies there, which nobody writes any more.
    let start = UInt(bitPattern: memory)
    let time = seconds {
      DispatchQueue.concurrentPerform(iterations: threads) { thread in
        _ = roofline_read(UnsafeRawPointer(bitPattern: start + UInt(thread * part)), part)
      }
    }
    return Double(part * threads) / time
  }
}

/// What a stage has to do at least, whoever does it.
struct StageWork {
  /// Two for each multiply-add.
  var operations: Double
  /// What has to be read from memory: weights, and keys and values.
  var bytes: Double
  var arithmetic: Roofline.Arithmetic
}

/// How long something takes.
func seconds(_ body: () throws -> Void) rethrows -> Double {
  let start = ContinuousClock.now
  try body()
  return (ContinuousClock.now - start) / .seconds(1)
}
