public import Dataflow

/// What a turn's audio says, piece by piece, and by when each will have been heard.
///
/// Type `said`. Fields: replacing (u8), count (u32), then for each piece its end (i64) and its text.
public struct Said: Message, Equatable {
  public static let typeName = "said"

  /// In order; joined as they are, the texts make the whole.
  public let pieces: [SaidText]
  /// Whether they take the place of what was told before, as when a guess becomes knowledge.
  public let isReplacing: Bool

  public init(_ pieces: [SaidText], replacing: Bool = false) {
    (self.pieces, isReplacing) = (pieces, replacing)
  }

  public var type: PortType { .said }

  public func encode(into encoder: inout MessageEncoder) {
    encoder.put(UInt8(isReplacing ? 1 : 0))
    encoder.put(UInt32(pieces.count))
    for piece in pieces {
      encoder.put(piece.end)
      encoder.put(piece.text)
    }
  }

  public init(from decoder: inout MessageDecoder) throws(MessageCodingError) {
    let replacing = try decoder.take(UInt8.self)
    let count = try decoder.take(UInt32.self)
    guard replacing <= 1 else { throw MessageCodingError("what was said has the flag \(replacing)") }
    var pieces: [SaidText] = []
    // No room is made for what is only promised: each piece has to be there.
    for _ in 0..<count {
      let end = try decoder.take(Int64.self)
      pieces.append(SaidText(try decoder.takeString(), end: end))
    }
    self.init(pieces, replacing: replacing == 1)
  }
}

extension PortType {
  public static let said = PortType(Said.typeName)
}
