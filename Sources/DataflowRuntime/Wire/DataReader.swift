package import Dataflow

/// What a record of a data message says.
package struct WireRecord {
  package var content: WireFormat.Content
  package var session: UInt64
  package var epoch: UInt32
  package var stamp: Stamp
  package var schema: UInt64
  /// A `sessionBegan`'s name.
  package var name = ""
  package var value: (any Message)?
}

/// The payload frames of a message, each shared with whoever keeps a part of it.
package protocol PayloadFrames {
  /// Whether all have been taken.
  var isEmpty: Bool { get }
  /// The next one; nil if there is none.
  mutating func takeNext() -> (bytes: UnsafeRawBufferPointer, owner: AnyObject)?
}

/// Reads a data message. Every length is checked against what is there before anything is made of it.
package struct DataReader {
  package let edge: UInt32
  package let incarnation: UInt64
  package let number: UInt64
  private var remaining: UInt32
  private var bytes: ByteReader

  /// - Parameter bytes: the message's first frame, behind the preamble.
  package init(afterPreamble bytes: ByteReader) throws(WireError) {
    self.bytes = bytes
    edge = try self.bytes.take()
    remaining = try self.bytes.take()
    incarnation = try self.bytes.take()
    number = try self.bytes.take()
    guard remaining <= WireFormat.maximumRecords else { throw WireError("\(remaining) records are too many") }
  }

  /// Values that follow each other and belong to one turn.
  package struct Run {
    package let session: UInt64
    package let epoch: UInt32
    /// Where the first one begins.
    package let place: Int
    package fileprivate(set) var count: Int
  }

  /// Passes over values of one turn that come next, without reading more of them than what they are.
  ///
  /// - Returns: nil if something else comes next.
  package mutating func passRun(schema: UInt64) throws(WireError) -> Run? {
    var run: Run?
    while remaining > 0 {
      var next = bytes
      guard let header = try? next.takeBytes(WireFormat.recordHeaderSize),
        header[4] == WireFormat.Content.value.rawValue
      else { break }
      let (session, epoch): (UInt64, UInt32) = (header.number(at: 8), header.number(at: 16))
      if let run, run.session != session || run.epoch != epoch { break }
      do throws(WireError) {
        let length = Int(header.number(at: 0) as UInt32)
        guard length >= WireFormat.recordHeaderSize, length % 8 == 0 else {
          throw WireError("a record of \(length) bytes")
        }
        _ = try next.takeBytes(length - WireFormat.recordHeaderSize)
        guard header.number(at: 48) == schema else { throw WireError("a value of another type") }
      } catch {
        // What came before it is sound.
        if run != nil { break }
        throw error
      }
      if run == nil { run = Run(session: session, epoch: epoch, place: bytes.offset, count: 0) }
      run?.count += 1
      bytes = next
      remaining -= 1
    }
    return run
  }

  /// - Parameter type: the type of the edge's values.
  package mutating func next(
    as type: any Message.Type, frames: inout some PayloadFrames
  ) throws(WireError) -> WireRecord? {
    guard remaining > 0 else {
      guard bytes.remaining == 0, frames.isEmpty else { throw WireError("there is more than was announced") }
      return nil
    }
    remaining -= 1
    var ahead = bytes
    let length = Int(try ahead.take(UInt32.self))
    let view = try RecordView(try bytes.takeBytes(length))
    var record = WireRecord(
      content: view.content, session: view.session, epoch: view.epoch, stamp: view.stamp, schema: view.schema)
    if view.content == .value {
      record.value = try Self.decode(type, view.decoder(&frames))
    } else {
      record.name = try view.name()
    }
    return record
  }

  private static func decode(
    _ type: any Message.Type, _ decoder: consuming MessageDecoder
  ) throws(WireError) -> any Message {
    do {
      let value = try type.init(from: &decoder)
      try decoder.finish()
      return value
    } catch {
      throw WireError("a value of type \(type.typeName): \(error)")
    }
  }
}
