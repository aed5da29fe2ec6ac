/// A ZAP 1.0 request (ZeroMQ RFC 27), without the socket's envelope.
///
/// ```
/// version "1.0" | request id | domain | address | routing id | mechanism | credentials ...
/// ```
package struct ZAPRequest: Equatable {
  /// The frames of a request with PLAIN's two credentials, the longest there is.
  package static let mostFrames = 8
  /// The most bytes in a frame.
  package static let longestFrame = 255

  package let id: [UInt8]
  package let domain: String
  package let address: String
  package let mechanism: String
  /// The client's key, if it uses CURVE.
  package let key: CurvePublicKey?

  /// Why frames are no request, and the id to reply to if there is one.
  package struct Fault: Error, Equatable {
    package let id: [UInt8]?
    package let reason: String
  }

  /// Reads a request's frames, of which nothing is taken for granted.
  package static func parse(_ frames: [[UInt8]]) -> Result<ZAPRequest, Fault> {
    let id = frames.count > 1 && frames[1].count <= longestFrame ? frames[1] : nil
    func fault(_ reason: String) -> Result<ZAPRequest, Fault> { .failure(Fault(id: id, reason: reason)) }

    guard let id, frames.count >= 6 else { return fault("a request has at least six frames") }
    guard frames[0] == Array("1.0".utf8) else { return fault("the version is not 1.0") }
    guard frames.count <= mostFrames else { return fault("a request has at most \(mostFrames) frames") }
    guard frames.allSatisfy({ $0.count <= longestFrame }) else { return fault("a frame is too long") }
    let mechanism = String(decoding: frames[5], as: UTF8.self)
    let credentials = frames[6...]
    var key: CurvePublicKey?
    if mechanism == "CURVE" {
      guard credentials.count == 1, let bytes = credentials.first, let client = CurvePublicKey(bytes: bytes) else {
        return fault("CURVE's credentials are one key of 32 bytes")
      }
      key = client
    }
    return .success(
      ZAPRequest(
        id: id, domain: String(decoding: frames[2], as: UTF8.self), address: String(decoding: frames[3], as: UTF8.self),
        mechanism: mechanism, key: key))
  }

  /// The frames of a reply.
  package static func reply(to id: [UInt8], status: String, text: String, userID: String = "") -> [[UInt8]] {
    [Array("1.0".utf8), id, Array(status.utf8), Array(text.utf8), Array(userID.utf8), []]
  }
}
