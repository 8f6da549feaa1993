// The peer of scripts/bench grpc: grpc-go with the EchoService of apps/src/testbed/grpc/proto/echo.proto as
// fasthttp_hpdummy_server has it, on the port that is given. scripts/bench_grpc.py generates the package echo.
package main

import (
	"context"
	"io"
	"log"
	"net"
	"os"
	"time"

	"echo"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

type service struct {
	echo.UnimplementedEchoServiceServer
	hostname string
}

func (s *service) Echo(ctx context.Context, request *echo.EchoRequest) (*echo.EchoResponse, error) {
	return s.answer(ctx, request)
}

func (s *service) StreamEcho(stream echo.EchoService_StreamEchoServer) error {
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		response, err := s.answer(stream.Context(), request)
		if err != nil {
			return err
		}
		if err := stream.Send(response); err != nil {
			return err
		}
	}
}

func (s *service) answer(ctx context.Context, request *echo.EchoRequest) (*echo.EchoResponse, error) {
	if request.ResponseCode != 0 {
		code := codes.Code(request.ResponseCode)
		return nil, status.Errorf(code, "requested error: %v", code)
	}
	fields := make(map[string]string)
	if incoming, ok := metadata.FromIncomingContext(ctx); ok {
		for key, values := range incoming {
			if len(values) > 0 {
				fields[key] = values[0]
			}
		}
	}
	method, _ := grpc.Method(ctx)
	return &echo.EchoResponse{
		Message:           request.Message,
		RequestTimestamp:  request.Timestamp,
		ResponseTimestamp: time.Now().UnixNano(),
		ServerHostname:    s.hostname,
		Metadata:          fields,
		Method:            method,
	}, nil
}

func main() {
	listener, err := net.Listen("tcp", "127.0.0.1:"+os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	hostname, err := os.Hostname()
	if err != nil {
		log.Fatal(err)
	}
	server := grpc.NewServer()
	echo.RegisterEchoServiceServer(server, &service{hostname: hostname})
	log.Fatal(server.Serve(listener))
}
