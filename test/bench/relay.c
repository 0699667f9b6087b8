/*
 * relay.c
 *		A process per connection that does nothing but pass bytes on.
 *
 * "relay PORT TOPORT" listens on 127.0.0.1:PORT and connects each client to
 * 127.0.0.1:TOPORT.  Like a backend it waits with epoll before each read, one
 * read and one write per message.  It does no work at all, so what a client
 * gets through it is the most that any coordinator could give that has a
 * process per session and asks the node over a connection of its own.  Ends
 * with its parent.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

static int
open_socket(int port, struct sockaddr_in *address)
{
	int			fd = socket(AF_INET, SOCK_STREAM, 0);

	memset(address, 0, sizeof(*address));
	address->sin_family = AF_INET;
	address->sin_port = htons(port);
	address->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	return fd;
}

static void
pass_on(int from, int to)
{
	char		buf[65536];
	ssize_t		n = recv(from, buf, sizeof(buf), 0);

	if (n <= 0)
		_exit(0);
	for (ssize_t done = 0; done < n;)
	{
		ssize_t		sent = send(to, buf + done, n - done, MSG_NOSIGNAL);

		if (sent <= 0)
			_exit(0);
		done += sent;
	}
}

static void
serve(int client, int port)
{
	struct sockaddr_in address;
	struct epoll_event event = {.events = EPOLLIN};
	int			node = open_socket(port, &address);
	int			ep = epoll_create1(0);
	int			one = 1;

	if (node < 0 || ep < 0 ||
		connect(node, (struct sockaddr *) &address, sizeof(address)) != 0)
		_exit(1);
	setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	setsockopt(node, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	event.data.fd = client;
	epoll_ctl(ep, EPOLL_CTL_ADD, client, &event);
	event.data.fd = node;
	epoll_ctl(ep, EPOLL_CTL_ADD, node, &event);
	for (;;)
	{
		if (epoll_wait(ep, &event, 1, -1) == 1)
			pass_on(event.data.fd, event.data.fd == client ? node : client);
		else if (errno != EINTR)
			_exit(1);
	}
}

int
main(int argc, char **argv)
{
	struct sockaddr_in address;
	int			one = 1;
	int			listener;

	if (argc != 3)
		return 2;
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	signal(SIGCHLD, SIG_IGN);
	listener = open_socket(atoi(argv[1]), &address);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (listener < 0 ||
		bind(listener, (struct sockaddr *) &address, sizeof(address)) != 0 ||
		listen(listener, 64) != 0)
		return 1;
	for (;;)
	{
		int			client = accept(listener, NULL, NULL);

		if (client >= 0 && fork() == 0)
		{
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			close(listener);
			serve(client, atoi(argv[2]));
		}
		close(client);
	}
}
