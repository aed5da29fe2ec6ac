/// One graph file as written: nothing substituted, nothing expanded. A file is read once, however often it is used.
struct GraphSource {
  var path: String
  var description: String?
  var parameters: [Parameter] = []
  var nodes: [Node] = []
  var edges: [EdgeDescription] = []
  var inputs: [ExportedPort] = []
  var outputs: [ExportedPort] = []

  struct Parameter {
    var name: Located<String>
    var help: String?
    /// nil: whoever uses the graph must give a value.
    var defaultValue: ParameterValue?
  }

  struct Node {
    var id: Located<String>
    var body: Body
    var with: ParameterMap
  }

  enum Body {
    case kind(Located<String>)
    case external(Located<String>, ExternalNode)
    /// The subgraph's path as written, relative to this file.
    case subgraph(Located<String>)
    /// Already reported. Kept so that edges to the node are not reported too.
    case faulty
  }
}
