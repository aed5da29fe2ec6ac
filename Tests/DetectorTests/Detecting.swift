import Dataflow
import DataflowTesting
import Messages
import ModelKit
import Testing

/// Noise of a level in dBFS, 16 kHz.
func noise(milliseconds: Int, level: Float, seed: UInt64 = 1) -> [Float] {
  var random = 0x9e37_79b9_7f4a_7c15 &* (seed &+ 1)
  var amplitude: Float = 1.732
  for _ in 0..<Int(-level / 10) { amplitude *= 0.316_228 }
  return (0..<milliseconds * 16).map { _ in
    random ^= random << 13
    random ^= random >> 7
    random ^= random << 17
    return Float(Int64(bitPattern: random) >> 40) / Float(1 << 23) * amplitude
  }
}

/// What a detector finds in sounds, each a session of its own, that come at once and in chunks of so many samples.
func detections<N: Node>(
  _ type: N.Type, _ parameters: [String: ParameterValue] = [:], in sounds: [[Float]], chunk: Int = 320,
  from start: Int64 = 0, over carrier: Carrier = .direct
) async throws -> [[Detection]] {
  var found = [[Detection]](repeating: [], count: sounds.count)
  try await withNode(type, parameters: parameters, over: carrier) { node in
    var sessions: [Session] = []
    for index in sounds.indices { sessions.append(try await node.beginSession("\(index)")) }
    for place in stride(from: 0, to: sounds.map(\.count).max() ?? 0, by: chunk) {
      for (sound, session) in zip(sounds, sessions) where place < sound.count {
        let samples = sound[place..<min(place + chunk, sound.count)]
        try await node.send(
          AudioChunk(samples: SharedBuffer(samples), rate: 16_000), to: "audio", turn: Turn(session, epoch: 0),
          time: start + Int64(place) * 62_500)
      }
    }
    for session in sessions { node.endSession(session) }
    node.finish()
    while let event = try await node.next() {
      guard case .message(_, let value, let turn, let time) = event, let detection = value as? Detection else {
        continue
      }
      #expect(turn.epoch == 0)
      #expect(time == detection.end)
      if let index = sessions.firstIndex(of: turn.session) { found[index].append(detection) }
    }
  }
  return found
}
