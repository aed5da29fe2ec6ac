/// The hash FNV-1a of 64 bits: the same in every process and language.
package enum FNV1a {
  /// - Parameter seed: changes every hash; 0 gives those of the published test vectors.
  package static func hash(_ text: String, mixing seed: UInt64 = 0) -> UInt64 {
    text.utf8.reduce(0xcbf2_9ce4_8422_2325 ^ seed) { ($0 ^ UInt64($1)) &* 0x0000_0100_0000_01b3 }
  }
}
