"""The figures of an audit report: the numbers behind each, and its drawing. The only place that knows matplotlib."""
