internal import CKernels
internal import COpenBLAS

#if canImport(Glibc)
  internal import Glibc
#elseif canImport(Darwin)
  internal import Darwin
#endif

/// An instruction set that the kernels are compiled for.
public enum KernelPath: String, Sendable, CaseIterable {
  case portable, neon, avx2, avx512
  /// With products of bf16 and of bytes (VNNI).
  case avx512bf16

  var code: Int32 {
    switch self {
    case .portable: Int32(CK_PORTABLE)
    case .neon: Int32(CK_NEON)
    case .avx2: Int32(CK_AVX2)
    case .avx512: Int32(CK_AVX512)
    case .avx512bf16: Int32(CK_AVX512_BF16)
    }
  }

  /// Whether this program has the path.
  public var isCompiled: Bool {
    #if arch(x86_64)
      self != .neon
    #elseif arch(arm64)
      self == .portable || self == .neon
    #else
      self == .portable
    #endif
  }

  /// Whether this machine's processor runs the path.
  public var isSupported: Bool { ck_path_supported(code) != 0 }
}

/// `ANTIPHON_CPU` asks for a kernel path that cannot be had.
public struct ComputeError: Error, CustomStringConvertible, Sendable {
  /// What the variable holds.
  public let value: String

  package init(value: String) { self.value = value }

  public var description: String {
    let usable = KernelPath.allCases.filter(\.isSupported).map(\.rawValue).joined(separator: ", ")
    let fault = KernelPath(rawValue: value) == nil ? "is not a kernel path" : "needs another processor"
    return "ANTIPHON_CPU=\(value) \(fault); this machine runs \(usable)"
  }
}

/// How this process computes: which instructions, how many threads.
///
/// Two processes whose ``description`` is equal give the same bytes for the same input.
public enum Compute {
  /// The environment's choice, made once, before the first kernel runs.
  private static let choice: Result<KernelPath, ComputeError> = {
    let best = KernelPath.allCases.first { $0.code == ck_path_best() } ?? .portable
    guard let pointer = getenv("ANTIPHON_CPU"), pointer.pointee != 0 else { return .success(best) }
    let value = String(cString: pointer)
    guard let path = KernelPath(rawValue: value), path.isSupported else {
      return .failure(ComputeError(value: value))
    }
    ck_set_path(path.code)
    return .success(path)
  }()

  /// The kernel path in use: what `ANTIPHON_CPU` names, else the best that this processor runs.
  public static var path: KernelPath {
    _ = choice
    return KernelPath.allCases.first { $0.code == ck_path() } ?? .portable
  }

  /// Checks the environment's choice; every model load does so too, so that a wrong one is never silently ignored.
  ///
  /// - Throws: ``ComputeError`` when `ANTIPHON_CPU` names an unknown path or one that this processor cannot run.
  public static func check() throws(ComputeError) { _ = try choice.get() }

  /// Threads that one operation may use, the caller's included: at first, the cores this process may run on.
  public static var threads: Int { Int(ck_threads()) }

  /// Sets the thread count, for the kernels and for OpenBLAS; kept between 1 and 64. Set it before the first
  /// inference: sums in OpenBLAS may be ordered by it.
  public static func setThreads(_ count: Int) {
    ck_set_threads(Int32(clamping: count))
    openblas_set_num_threads(ck_threads())
  }

  /// What OpenBLAS says of itself: version, options, core.
  public static var libraryConfiguration: String { openblas_get_config().map { String(cString: $0) } ?? "" }

  /// What results depend on: kernel path, OpenBLAS version and core, thread count.
  ///
  /// OpenBLAS picks its core by the processor; `OPENBLAS_CORETYPE` makes machines agree.
  public static var description: String {
    let version = libraryConfiguration.split(separator: " ").dropFirst().first.map(String.init) ?? "?"
    let core = openblas_get_corename().map { String(cString: $0) } ?? "?"
    return "\(path.rawValue), OpenBLAS \(version) \(core), \(threads) thread\(threads == 1 ? "" : "s")"
  }
}
