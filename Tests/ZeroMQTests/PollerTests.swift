import Testing
import ZeroMQ

struct PollerTests {
  @Test func waitsForSocketsAndWakeups() throws {
    let context = try Context()
    var pull = try makeSocket(.pull, in: context)
    var push = try makeSocket(.push, in: context)
    try push.connect(pull.bind(Carrier.inproc.endpoint))
    let wakeup = try Wakeup()
    var poller = Poller()
    let incoming = poller.add(pull, for: .readable)
    let outgoing = poller.add(push, for: [])
    let woken = poller.add(wakeup)
    let count3 = poller.count
    #expect(count3 == 3)
    #expect(try poller.wait(timeout: .zero) == 0)

    try push.send(Frame("x"))
    #expect(try poller.wait(timeout: .seconds(30)) == 1)
    var came = [poller.events(at: incoming), poller.events(at: woken)]
    #expect(came == [.readable, []])
    _ = try pull.receive().count

    let thread = Background { wakeup.signal() }
    #expect(try poller.wait() == 1)
    #expect(thread.wait() != nil)
    came = [poller.events(at: woken), poller.events(at: incoming)]
    #expect(came == [.readable, []])
    #expect(wakeup.drain())
    #expect(try poller.wait(timeout: .zero) == 0)

    poller.setEvents(.writable, at: outgoing)
    #expect(try poller.wait(timeout: .zero) == 1)
    came = [poller.events(at: outgoing)]
    #expect(came == [.writable])
    poller.remove(outgoing)
    poller.remove(outgoing)
    #expect(try poller.wait(timeout: .zero) == 0)
    let count2 = poller.count
    #expect(count2 == 2)
    let again = poller.add(push, for: .writable)
    #expect(again == outgoing)
    let pending = try [pull.pendingEvents, push.pendingEvents]
    #expect(pending == [[], .writable])
  }

  @Test func manySignalsAreOneUntilDrained() throws {
    let wakeup = try Wakeup()
    #expect(!wakeup.drain())
    for _ in 0..<1000 { wakeup.signal() }
    #expect(wakeup.drain())
    #expect(!wakeup.drain())
    var poller = Poller()
    _ = poller.add(wakeup)
    #expect(try poller.wait(timeout: .zero) == 0)
    wakeup.signal()
    #expect(try poller.wait(timeout: .zero) == 1)
  }

  @Test func noSignalIsLostBetweenThreads() throws {
    let wakeup = try Wakeup()
    let posted = Counter()
    let rounds = 20_000
    let thread = Background {
      for _ in 0..<rounds {
        posted.increment()
        wakeup.signal()
      }
    }
    var poller = Poller()
    _ = poller.add(wakeup)
    var seen = 0
    while seen < rounds {
      guard try poller.wait(timeout: .seconds(30)) == 1 else { break }
      wakeup.drain()
      seen = posted.value
    }
    #expect(seen == rounds)
    #expect(thread.wait() != nil)
  }
}
