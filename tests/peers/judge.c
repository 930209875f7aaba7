/* Judges conversations by wslay, a WebSocket library in C, one conversation for each line on stdin.
 *
 *     judge LIMIT
 *
 * The lines and the answers are those of judge.py.
 */

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wslay/wslay.h>

struct conversation {
    /* The words that have not been received yet: frames in hexadecimal, each behind an x. */
    const char *words;
    /* The words about the messages and pings that were received. */
    FILE *said;
    /* The code of the Close that was received, 0 if it has none. */
    uint16_t close_code;
};

static void encode(FILE *out, const char *kind, const uint8_t *data, size_t len) {
    fprintf(out, " %s x", kind);
    for (size_t at = 0; at < len; at++)
        fprintf(out, "%02x", data[at]);
}

/* Returns at most one frame. wslay refuses some legal reasons of a Close that it reads in two parts. */
static ssize_t receive(wslay_event_context_ptr context, uint8_t *buffer, size_t len, int flags, void *user) {
    struct conversation *conversation = user;
    (void)flags;
    conversation->words += strspn(conversation->words, " x\n");
    size_t read = 0;
    unsigned byte;
    while (read < len && sscanf(conversation->words, "%2x", &byte) == 1) {
        buffer[read++] = (uint8_t)byte;
        conversation->words += 2;
        if (strchr(" \n", *conversation->words))
            break;
    }
    if (read == 0) {
        wslay_event_set_error(context, WSLAY_ERR_WOULDBLOCK);
        return -1;
    }
    return (ssize_t)read;
}

static ssize_t discard(wslay_event_context_ptr context, const uint8_t *data, size_t len, int flags, void *user) {
    (void)context, (void)data, (void)flags, (void)user;
    return (ssize_t)len;
}

/* The replies are discarded, so that any key is good enough. */
static int mask(wslay_event_context_ptr context, uint8_t *buffer, size_t len, void *user) {
    (void)context, (void)user;
    memset(buffer, 0, len);
    return 0;
}

static void on_message(wslay_event_context_ptr context, const struct wslay_event_on_msg_recv_arg *message,
                       void *user) {
    struct conversation *conversation = user;
    (void)context;
    switch (message->opcode) {
    case WSLAY_TEXT_FRAME:
        encode(conversation->said, "text", message->msg, message->msg_length);
        break;
    case WSLAY_BINARY_FRAME:
        encode(conversation->said, "binary", message->msg, message->msg_length);
        break;
    case WSLAY_PING:
        encode(conversation->said, "ping", message->msg, message->msg_length);
        break;
    case WSLAY_CONNECTION_CLOSE:
        conversation->close_code = message->status_code;
        break;
    default:
        break;
    }
}

static void must(bool holds, const char *what) {
    if (!holds) {
        fprintf(stderr, "judge: %s\n", what);
        exit(1);
    }
}

static void judge(bool is_server, const char *words, uint64_t limit) {
    const struct wslay_event_callbacks callbacks = {
        .recv_callback = receive,
        .send_callback = discard,
        .genmask_callback = mask,
        .on_msg_recv_callback = on_message,
    };
    char *said = NULL;
    size_t said_len = 0;
    struct conversation conversation = {.words = words, .said = open_memstream(&said, &said_len)};
    wslay_event_context_ptr context;
    must((is_server ? wslay_event_context_server_init : wslay_event_context_client_init)(
             &context, &callbacks, &conversation) == 0, "no context");
    wslay_event_config_set_max_recv_msg_length(context, limit);
    /* This fails for some broken rules and not for others; a Close is queued for all of them. */
    bool received = wslay_event_recv(context) == 0;
    must(wslay_event_send(context) == 0, "wslay_event_send failed");
    must(received || wslay_event_get_close_sent(context), "wslay_event_recv failed");
    fclose(conversation.said);
    if (wslay_event_get_close_received(context)) {
        if (conversation.close_code == 0)
            printf("closed -");
        else
            printf("closed %u", conversation.close_code);
    } else if (wslay_event_get_close_sent(context)) {
        /* A Close that answers none is about a broken rule. */
        printf("failed %u", wslay_event_get_status_code_sent(context));
    } else {
        printf("open -");
    }
    printf("%s\n", said);
    fflush(stdout);
    free(said);
    wslay_event_context_free(context);
}

int main(int argc, char **argv) {
    must(argc == 2, "usage: judge LIMIT");
    uint64_t limit = strtoull(argv[1], NULL, 10);
    char *line = NULL;
    size_t capacity = 0;
    while (getline(&line, &capacity, stdin) > 0) {
        bool is_server = strncmp(line, "server", 6) == 0;
        judge(is_server, line + 6, limit);
    }
    free(line);
    return 0;
}
