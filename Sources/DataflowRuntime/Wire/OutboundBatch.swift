package import Dataflow
import ZeroMQ

/// Records that one edge's node has sent, written as one data message, and what must be known of them until it leaves.
package struct OutboundBatch: Sendable {
  /// Records behind each other that belong to one turn.
  struct Run: Sendable {
    /// Nil for the edge's end.
    var turn: Turn?
    var values: Int
    /// Whether the session's end is among them.
    var endsSession = false
    var end: Place
  }

  /// A place between two records.
  struct Place: Equatable {
    var bytes: Int
    var frames: Int
    var records: Int

    static let first = Place(bytes: WireFormat.dataHeaderSize, frames: 0, records: 0)
  }

  /// Where the first record begins.
  package static let headerSize = WireFormat.dataHeaderSize

  private var block: ByteBlock
  private var end: Place
  /// Buffers that travel in frames of their own, in order.
  package private(set) var frames: [WireBuffer]
  private(set) var runs: [Run]
  package private(set) var values: Int

  init(block: ByteBlock, end: Place, frames: [WireBuffer], runs: [Run], values: Int) {
    (self.block, self.end, self.frames, self.runs, self.values) = (block, end, frames, runs, values)
  }

  private init(capacity: Int) {
    self.init(block: ByteBlock(capacity: capacity), end: .first, frames: [], runs: [], values: 0)
  }

  /// A batch without records.
  static var empty: OutboundBatch { OutboundBatch(capacity: Place.first.bytes) }

  package var isEmpty: Bool { end == .first }

  // MARK: Sending

  /// Writes the header. Nothing is changed any more from here on.
  ///
  /// - Parameter number: counts the messages of the edge, so that the receiver sees a gap.
  package func address(edge: UInt32, incarnation: UInt64, number: UInt64) {
    let preamble = WireFormat.magic + [WireFormat.major, WireFormat.minor, WireFormat.Kind.data.rawValue, 0]
    for (offset, byte) in preamble.enumerated() { block.start.put(byte, at: offset) }
    block.start.put(edge, at: 8)
    block.start.put(UInt32(end.records), at: 12)
    block.start.put(incarnation, at: 16)
    block.start.put(number, at: 24)
  }

  private var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: block.start, count: end.bytes) }

  /// A copy of the message's first frame.
  package var head: [UInt8] { [UInt8](bytes) }

  /// The message's first frame; a long one is handed over as it is.
  func headFrame() throws(ZeroMQError) -> Frame {
    end.bytes <= 2048 ? try Frame(copying: bytes) : try Frame(retaining: block, bytes: bytes)
  }

  // MARK: Waiting

  /// Takes out what belongs to turns that have been interrupted.
  mutating func removeStale() {
    guard runs.contains(where: \.isStale) else { return }
    var kept = OutboundBatch(capacity: end.bytes)
    var start = Place.first
    for run in runs {
      if !run.isStale { kept.append(run, of: self, from: start) }
      start = run.end
    }
    self = kept
  }

  /// Splits off what comes before the first value that is one too many.
  mutating func takeFirst(values limit: Int) -> OutboundBatch {
    var (first, rest) = (OutboundBatch(capacity: end.bytes), OutboundBatch(capacity: end.bytes))
    var start = Place.first
    for run in runs {
      let room = limit - first.values
      if !rest.isEmpty {
        rest.append(run, of: self, from: start)
      } else if run.values <= room {
        first.append(run, of: self, from: start)
      } else {
        let middle = place(behind: room, from: start)
        if middle != start { first.append(Run(turn: run.turn, values: room, end: middle), of: self, from: start) }
        var second = run
        second.values -= room
        rest.append(second, of: self, from: middle)
      }
      start = run.end
    }
    self = rest
    return first
  }

  private mutating func append(_ run: Run, of other: OutboundBatch, from start: Place) {
    let count = run.end.bytes - start.bytes
    (block.start + end.bytes).copyMemory(from: other.block.start + start.bytes, byteCount: count)
    frames += other.frames[start.frames..<run.end.frames]
    end.bytes += count
    end.frames = frames.count
    end.records += run.end.records - start.records
    values += run.values
    var moved = run
    moved.end = end
    runs.append(moved)
  }

  /// Where the first value stands that comes behind so many others.
  private func place(behind values: Int, from start: Place) -> Place {
    var (place, passed) = (start, 0)
    while true {
      let record = block.start + place.bytes
      if record.load(fromByteOffset: 4, as: UInt8.self) == WireFormat.Content.value.rawValue {
        if passed == values { return place }
        passed += 1
      }
      var header = record + WireFormat.recordHeaderSize
      for _ in 0..<record.load(fromByteOffset: 5, as: UInt8.self) {
        place.frames += Int(header.load(fromByteOffset: 2, as: UInt8.self))
        header += WireFormat.bufferHeaderSize + 8 * Int(header.load(fromByteOffset: 1, as: UInt8.self))
      }
      place.bytes += Int(UInt32(littleEndian: record.load(as: UInt32.self)))
      place.records += 1
    }
  }
}

extension OutboundBatch.Run {
  var isStale: Bool { turn?.isCut == true }
}
