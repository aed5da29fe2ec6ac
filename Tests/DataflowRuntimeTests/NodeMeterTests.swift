import DataflowRuntime
import Testing

/// How a node's work is counted where it takes several values at once.
@Suite struct NodeMeterTests {
  @Test func quickMessagesCountWithTheirMean() throws {
    let meter = NodeMeter(node: "sink")
    meter.countWork(3200, on: 32, andReceived: 32)
    let statistics = meter.statistics
    #expect(statistics.received == 32)
    #expect(statistics.busy == 3200)
    for fraction in [0.0, 0.5, 1.0] {
      let time = try #require(statistics.latency.quantile(fraction))
      #expect((88...112).contains(time))
    }
  }

  @Test func aSlowMessageAmongQuickOnesIsSeen() throws {
    let meter = NodeMeter(node: "sink")
    meter.countWork(3200, on: 32, andReceived: 32)
    meter.countWork(3100 + 50_000_000, on: 32, andReceived: 32)
    let statistics = meter.statistics
    #expect(statistics.received == 64)
    #expect(statistics.busy == 50_006_300)
    #expect(try #require(statistics.latency.quantile(1)) > 44_000_000)
    #expect(try #require(statistics.latency.quantile(0.97)) < 112)
  }
}
