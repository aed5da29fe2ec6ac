import GraphFile
import Testing

@Suite struct DrawingTests {
  func graph() throws -> GraphDescription {
    try GraphDescription.parse(
      """
      antiphon: 1
      nodes:
        llm: { kind: llm-step }
        head: { kind: sampler }
        voice: { kind: external, command: [x], inputs: { text: text } }
      edges:
        - llm.logits -> head.logits
        - { from: head.token, to: llm.token, feedback: true }
        - head.text -> voice.text
      """, path: "a \"b\\.yaml")
  }

  @Test func dot() throws {
    let drawing = try graph().dot(parts: ["mind": ["llm", "head"]]) { $0.isFeedback ? "tokens[\"q\"]" : nil }
    #expect(
      drawing == #"""
        digraph "a \"b\\" {
          rankdir=LR;
          node [shape=box, style=rounded];
          subgraph "cluster_mind" {
            label="mind";
            "llm" [label="llm\nllm-step"];
            "head" [label="head\nsampler"];
          }
          "voice" [label="voice\nexternal", peripheries=2];
          "llm" -> "head" [taillabel="logits", headlabel="logits"];
          "head" -> "llm" [taillabel="token", headlabel="token", label="tokens[\"q\"]", style=dashed, constraint=false];
          "head" -> "voice" [taillabel="text", headlabel="text"];
        }

        """#)
  }

  @Test func mermaid() throws {
    let drawing = try graph().mermaid(parts: ["mind": ["llm", "head"]]) { $0.isFeedback ? "tokens[\"q\"]" : nil }
    #expect(
      drawing == """
        flowchart LR
          subgraph p0["mind"]
            n0["llm<br/>llm-step"]
            n1["head<br/>sampler"]
          end
          n2[["voice<br/>external"]]
          n0 -->|"logits -> logits"| n1
          n1 -.->|"token -> token#58; tokens#91;#34;q#34;#93;"| n0
          n1 -->|"text -> text"| n2

        """)
  }
}
