"""What schemathesis is not told by the description: the two media types that are no JSON, and that a head with control
characters, which ends a request before it is one, is not worth sending."""

import schemathesis


@schemathesis.hook
def filter_headers(context, headers):
    sent = getattr(headers, "value", headers) or {}
    return all(all(" " <= letter <= "~" for letter in str(value)) for value in sent.values())


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else str(value).encode()


@schemathesis.deserializer("text/event-stream", "application/x-ndjson")
def text(context, response):
    return response.content.decode()
