"""The wire contract of gradebox: `gradebox_proto.v1.grading_pb2` and its gRPC stubs."""
