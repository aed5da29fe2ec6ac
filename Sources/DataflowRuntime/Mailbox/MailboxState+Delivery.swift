package import Dataflow

extension MailboxState {
  /// Several parcels on their way into a lane.
  package struct Delivery {
    fileprivate var parcels: [Parcel]
    let lane: Int
    let now: Int64
    /// How many have been delivered.
    fileprivate var done = 0
    /// How many values the lane lost by it.
    package fileprivate(set) var lost = 0
    /// The node, if it was waiting.
    fileprivate(set) var wake: Waiter?

    package init(_ parcels: [Parcel], lane: Int, now: Int64) {
      (self.parcels, self.lane, self.now) = (parcels, lane, now)
    }
  }

  /// Delivers in order what has not been delivered yet.
  ///
  /// - Returns: false if the lane is full.
  /// - Throws: `CancellationError` if the run is stopping.
  package mutating func advance(_ delivery: inout Delivery) throws -> Bool {
    while delivery.done < delivery.parcels.count {
      var parcel = delivery.parcels[delivery.done]
      var isWhole = true
      let room = lanes[delivery.lane].kind.depth - lanes[delivery.lane].values
      if case .run(var run) = parcel, room > 0, run.count > room, !run.turn.isCut {
        parcel = .run(run.removeFirst(room))
        delivery.parcels[delivery.done] = .run(run)
        isWhole = false
      }
      switch offer(parcel, lane: delivery.lane, now: delivery.now) {
      case .delivered(let node, let lost):
        delivery.wake = node ?? delivery.wake
        delivery.lost += lost
        if isWhole { delivery.done += 1 }
      case .full: return false
      case .stopped: throw CancellationError()
      }
    }
    return true
  }
}
