/*-------------------------------------------------------------------------
 *
 * ring_test.c
 *	  Unit tests of the ring and of the records in it, without a server.
 *
 * Prints TAP.  "ring_test N" appends N records in the stress test.
 *
 *-------------------------------------------------------------------------
 */
#include "postgres.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "port/pg_crc32c.h"

#include "buffer/guard.h"
#include "buffer/ring.h"
#include "span/event.h"

#define DATABASE 5
#define CLUSTER UINT64CONST(0x1234567890)
#define RANDOM UINT64CONST(0x0badcafe12345678)
#define WRITERS 16

static int	tests = 0;
static int	failed = 0;

/* Report one check. */
static void
ok(bool good, const char *what)
{
	printf("%sok %d - %s\n", good ? "" : "not ", ++tests, what);
	failed += !good;
}

/* A mapped ring of "bytes" that children share. */
static FmsRing
make_ring(uint64 bytes)
{
	FmsRing		ring;
	void	   *file = mmap(NULL, FMS_RING_HEADER_BYTES + bytes, PROT_READ | PROT_WRITE,
							MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	if (file == MAP_FAILED)
		abort();
	fms_ring_map(&ring, file, FMS_RING_HEADER_BYTES + bytes);
	fms_ring_format(&ring, bytes, DATABASE, CLUSTER, 0, RANDOM);
	return ring;
}

/* Append a text. */
static uint64
append(FmsRing *ring, uint64 head, const char *text)
{
	return fms_ring_append(ring, fms_ring_tail(ring), head, text, strlen(text),
						   fms_ring_checksum(text, strlen(text)));
}

/* Whether the record at *position is this text; moves on. */
static bool
is_text(const FmsRing *ring, uint64 *position, const char *text)
{
	const char *body = NULL;
	uint32		length = 0;
	FmsRingItem item;

	do
		item = fms_ring_read(ring, position, PG_UINT64_MAX, &body, &length);
	while (item == FMS_RING_PADDING);
	return item == FMS_RING_RECORD && length == strlen(text) && memcmp(body, text, length) == 0;
}

/* Records come out as they went in, and an empty ring is empty. */
static void
test_order(void)
{
	FmsRing		ring = make_ring(4096);
	uint64		records;
	uint64		head = 0;
	uint64		position = 0;

	ok(fms_ring_find_head(&ring, fms_ring_read, &records) == 0 && records == 0, "a new ring is empty");
	head = append(&ring, head, "one");
	head = append(&ring, head, "a record that is longer than sixteen bytes");
	head = append(&ring, head, "");
	ok(fms_ring_find_head(&ring, fms_ring_read, &records) == head && records == 3, "the head is found");
	ok(is_text(&ring, &position, "one") &&
	   is_text(&ring, &position, "a record that is longer than sixteen bytes") &&
	   is_text(&ring, &position, "") && position == head, "records come out in order");
	fms_ring_acknowledge(&ring, head);
	ok(fms_ring_find_head(&ring, fms_ring_read, &records) == head && records == 0, "acknowledged records are gone");
}

/* A full ring refuses, and goes round its end without mixing laps. */
static void
test_laps(void)
{
	FmsRing		ring = make_ring(1024);
	uint64		head = 0;
	uint64		next;
	uint64		records;
	char		text[100];
	bool		good = true;
	int			n = 0;

	while ((next = append(&ring, head, "0123456789012345678901234567890123456789")) != 0)
	{
		head = next;
		n++;
	}
	ok(n == 15, "a ring of 1024 bytes takes 15 records of 64 and keeps a place free");
	fms_ring_acknowledge(&ring, head);
	for (int i = 0; i < 10000; i++)
	{
		uint64		position = fms_ring_tail(&ring);

		snprintf(text, sizeof(text), "%d %.*s", i, i % 80, "the quick brown fox jumps over the lazy dog, again and again and again and again");
		next = append(&ring, head, text);
		good = good && next != 0 && fms_ring_find_head(&ring, fms_ring_read, &records) == next && records == 1 &&
			is_text(&ring, &position, text) && position == next;
		head = next;
		fms_ring_acknowledge(&ring, head);
	}
	ok(good, "10,000 records of all lengths survive the laps");
}

/* What is not a whole record is not taken for one. */
static void
test_forged(void)
{
	FmsRing		ring = make_ring(4096);
	uint64		first = append(&ring, 0, "first record of the ring");
	uint64		second = append(&ring, first, "second record of the ring");
	uint64		records;
	uint64		position = second;
	const char *body;
	uint32		length;

	/* a body that looks like a record to whoever does not know the ring's id */
	memset(ring.data + second, 0, 64);
	memcpy(ring.data + second, &second, sizeof(second));
	ok(fms_ring_read(&ring, &position, 4096, &body, &length) == FMS_RING_END,
	   "a forged mark is no record");

	/* a length that leads out of the data area */
	memset(ring.data + first + 8, 0xfe, 4);
	position = first;
	ok(fms_ring_read(&ring, &position, 4096, &body, &length) == FMS_RING_DAMAGED,
	   "a length beyond the end is a damaged record");
	ok(fms_ring_find_head(&ring, fms_ring_read, &records) == first + FMS_RING_ALIGN && records == 2,
	   "a last record that is damaged counts, and the ring goes on after its mark");
}

/* where the records of the damage test are, and what became of them */
#define MANY 3000

typedef struct Placed
{
	uint64		at;
	uint32		bytes;			/* of mark, length, checksum and body */
	bool		hit;			/* so that it can't be read */
	bool		seen;
} Placed;

/* Fill a ring of several laps with numbered records; returns the head. */
static uint64
fill(FmsRing *ring, Placed *placed, int count)
{
	uint64		head = ring->identity.bytes / 2 + ring->identity.bytes;
	char		text[400];

	fms_ring_acknowledge(ring, head);
	for (int i = 0; i < count; i++)
	{
		uint32		length = sizeof(i) + random() % (sizeof(text) - sizeof(i));
		uint64		next;

		memset(text, random(), sizeof(text));
		memcpy(text, &i, sizeof(i));
		next = fms_ring_append(ring, fms_ring_tail(ring), head, text, length,
							   fms_ring_checksum(text, length));
		placed[i].bytes = FMS_RING_RECORD_BYTES + length;
		placed[i].at = next - TYPEALIGN64(FMS_RING_ALIGN, placed[i].bytes);
		placed[i].hit = placed[i].seen = false;
		head = next;
	}
	return head;
}

/* Flip a bit of a ring, and note which record it makes unreadable. */
static void
flip(FmsRing *ring, Placed *placed, int count)
{
	uint64		place = random() % ring->identity.bytes;

	ring->data[place] ^= 1 << random() % 8;
	for (int i = 0; i < count; i++)
	{
		uint64		from = placed[i].at % ring->identity.bytes;

		/* a mark is told from everything else even so */
		if (place >= from + sizeof(uint64) && place < from + placed[i].bytes)
			placed[i].hit = true;
	}
}

/* Read a ring; whether exactly the records that were hit are missing and counted. */
static bool
reads_all_but_hit(FmsRing *ring, Placed *placed, int count, uint64 head)
{
	uint64		position = fms_ring_tail(ring);
	int			damaged = 0;
	int			hit = 0;
	bool		good = true;

	while (position < head)
	{
		const char *body;
		uint32		length;
		int			i;

		switch (fms_ring_read(ring, &position, head, &body, &length))
		{
			case FMS_RING_RECORD:
				memcpy(&i, body, sizeof(i));
				good = good && i >= 0 && i < count && !placed[i].seen;
				if (good)
					placed[i].seen = true;
				break;
			case FMS_RING_DAMAGED:
				damaged++;
				break;
			case FMS_RING_PADDING:
				break;
			case FMS_RING_END:
				return false;
		}
	}
	for (int i = 0; i < count; i++)
	{
		good = good && placed[i].seen != placed[i].hit;
		hit += placed[i].hit;
	}
	return good && hit == damaged;
}

/* Flips at random places cost the records that they hit, and no other. */
static void
test_flips(int rounds, int flips, const char *what)
{
	static Placed placed[MANY];
	bool		good = true;
	int			hits = 0;

	for (int round = 0; round < rounds; round++)
	{
		FmsRing		ring = make_ring(1024 * 1024);
		uint64		head = fill(&ring, placed, MANY);
		uint64		records;
		uint64		found;

		for (int i = 0; i < flips; i++)
			flip(&ring, placed, MANY);
		found = fms_ring_find_head(&ring, fms_ring_read, &records);
		good = good && records == MANY && (found == head || placed[MANY - 1].hit) && found <= head;
		good = good && reads_all_but_hit(&ring, placed, MANY, head);
		for (int i = 0; i < MANY; i++)
			hits += placed[i].hit;
		munmap(ring.header, FMS_RING_HEADER_BYTES + 1024 * 1024);
	}
	ok(good && hits > 0, what);
}

/* Zeros over several records leave those before and after them. */
static void
test_hole(void)
{
	static Placed placed[MANY];
	FmsRing		ring = make_ring(1024 * 1024);
	uint64		head = fill(&ring, placed, MANY);
	uint64		position = fms_ring_tail(&ring);
	uint64		records;
	int			read = 0;
	int			damaged = 0;
	int			whole = 0;

	memset(ring.data + 8192, 0, 4096);
	for (int i = 0; i < MANY; i++)
	{
		uint64		from = placed[i].at % ring.identity.bytes;

		whole += from + placed[i].bytes <= 8192 || from >= 8192 + 4096;
	}
	ok(fms_ring_find_head(&ring, fms_ring_read, &records) == head, "the head is found behind a page of zeros");
	while (position < head)
	{
		const char *body;
		uint32		length;
		FmsRingItem item = fms_ring_read(&ring, &position, head, &body, &length);

		read += item == FMS_RING_RECORD;
		damaged += item == FMS_RING_DAMAGED;
	}
	ok(read == whole && damaged >= 1 && damaged <= 2,
	   "a page of zeros costs the records that lie in it");
}

/* A header that is not ours is refused; one of its two copies is enough. */
static void
test_header(void)
{
	FmsRing		ring = make_ring(4096);
	char	   *header = (char *) ring.header;
	bool		good = true;

	fms_ring_acknowledge(&ring, 160);
	ok(fms_ring_open(&ring, DATABASE, CLUSTER), "a new ring is sound");
	ring.file_bytes--;
	ok(!fms_ring_open(&ring, DATABASE, CLUSTER), "not in a shorter file");
	ring.file_bytes++;
	ok(!fms_ring_open(&ring, DATABASE + 1, CLUSTER), "not for another database");
	ok(!fms_ring_open(&ring, DATABASE, CLUSTER + 1), "not for another cluster");
	for (int i = 0; i < FMS_RING_HEADER_BYTES * 8; i++)
	{
		FmsRing		other;

		header[i / 8] ^= 1 << i % 8;
		fms_ring_map(&other, header, FMS_RING_HEADER_BYTES + 4096);
		good = good && fms_ring_open(&other, DATABASE, CLUSTER) &&
			fms_ring_tail(&other) == 160 && other.identity.ring_id == ring.identity.ring_id;
		header[i / 8] ^= 1 << i % 8;
	}
	ok(good, "no bit of the header is needed by itself");
	memset(header, 0xff, FMS_RING_HEADER_BYTES / 2);
	ok(fms_ring_open(&ring, DATABASE, CLUSTER) && fms_ring_tail(&ring) == 160,
	   "one half of the header is enough");
	memset(header, 0, FMS_RING_HEADER_BYTES);
	ok(!fms_ring_open(&ring, DATABASE, CLUSTER), "zeros are no ring");
}

/* The life of a record is that in which it was appended, as long as it waits. */
static void
test_lives(void)
{
	FmsRing		ring = make_ring(64 * 1024);
	FmsRing		copy;
	uint64		head = 0;
	uint64		end;
	bool		good = true;

	for (int i = 1; i <= FMS_RING_LIVES; i++)
	{
		/* the second start of two has nothing between them */
		fms_ring_begin_life(&ring, 0, head, 1000 + i);
		fms_ring_begin_life(&ring, 0, head, i);
		head = append(&ring, head, "0123456789");
	}
	for (uint64 i = 0; i < FMS_RING_LIVES; i++)
	{
		good = good && fms_ring_life(&ring, i * 32, &end).id == i + 1;
		good = good && (end == (i + 1) * 32 || i == FMS_RING_LIVES - 1);
	}
	ok(good && end == PG_UINT64_MAX, "each record belongs to the life that appended it");
	fms_ring_map(&copy, ring.header, ring.file_bytes);
	ok(fms_ring_open(&copy, DATABASE, CLUSTER) &&
	   copy.identity.lives == FMS_RING_LIVES, "lives are found again");
	fms_ring_begin_life(&ring, 0, head, 77);
	ok(ring.identity.lives == FMS_RING_LIVES && fms_ring_life(&ring, head, &end).id == 77 &&
	   fms_ring_life(&ring, head - 32, &end).id == 77 && fms_ring_life(&ring, 0, &end).id == 1,
	   "one life too many takes the records of the last one along");
	fms_ring_begin_life(&ring, 33 * 32, head, 78);
	ok(fms_ring_life(&ring, 33 * 32, &end).id == 34 && ring.identity.life[0].id == 34,
	   "lives without records are forgotten");
	fms_ring_begin_life(&ring, 33 * 32, 40 * 32, 79);
	ok(fms_ring_life(&ring, 39 * 32, &end).id == 40 && fms_ring_life(&ring, 41 * 32, &end).id == 79,
	   "a ring that lost its last records loses the lives that had nothing else");
}

/* A page that can't be had fails what needs it, and nothing else. */
static void
test_guard(void)
{
	char		path[] = "/tmp/ring_test.XXXXXX";
	uint64		bytes = FMS_RING_HEADER_BYTES + 64 * 1024;
	int			fd = mkstemp(path);
	char	   *text = calloc(1, 2000);
	uint32		checksum = fms_ring_checksum(text, 2000);
	uint64		head = 0;
	uint64		position = 0;
	uint64		records;
	const char *body;
	uint32		length;
	FmsRing		ring;
	bool		room = true;

	unlink(path);
	if (fd < 0 || ftruncate(fd, bytes) != 0)
		abort();
	fms_ring_map(&ring, mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0), bytes);
	fms_guard_install();
	ok(fms_guard_format(&ring, DATABASE, CLUSTER, 0, RANDOM), "a ring of a whole file can be made");
	/* pages that are not there raise the signal that a full disk raises */
	if (ftruncate(fd, FMS_RING_HEADER_BYTES + 8192) != 0)
		abort();
	while (fms_guard_append(&ring, 0, &head, text, 2000, checksum, &room) && room)
		;
	ok(head == 4 * 2016 && !room, "an append to a page that is not there fails");
	ok(fms_ring_find_head(&ring, fms_guard_read, &records) == head && records == 4,
	   "what was appended before is there");
	ok(!fms_guard_append(&ring, 0, &head, text, 2000, checksum, &room) && head == 4 * 2016,
	   "it fails again");
	ok(fms_guard_acknowledge(&ring, 2016) && fms_ring_tail(&ring) == 2016,
	   "what needs other pages goes on");
	if (ftruncate(fd, bytes) != 0)
		abort();
	ok(fms_guard_append(&ring, 0, &head, text, 2000, checksum, &room) && room &&
	   fms_ring_find_head(&ring, fms_guard_read, &records) == 5 * 2016 && records == 4,
	   "an append succeeds when the page is there");
	while (fms_guard_append(&ring, 0, &head, text, 2000, checksum, &room) && room)
		;
	if (ftruncate(fd, FMS_RING_HEADER_BYTES + 4096) != 0)
		abort();
	position = 2016;
	ok(fms_guard_read(&ring, &position, head, &body, &length) == FMS_RING_RECORD &&
	   fms_guard_read(&ring, &position, head, &body, &length) == FMS_RING_DAMAGED &&
	   position == head, "pages that can't be read are damage");
	munmap(ring.header, bytes);
	close(fd);
	free(text);
}

/* A whole span has an end of its own, and every part has a place. */
static void
test_whole_span(FmsEvent event)
{
	FmsEvent	back;
	char	   *bytes;
	size_t		length;
	bool		equal = true;

	event.kind = FMS_EVENT_SPAN;
	event.ended_at = 9;
	for (int i = FMS_PART_ATTRIBUTES; i < FMS_PARTS; i++)
		event.part[i] = event.part[FMS_PART_INPUT];
	length = fms_event_encoded_size(&event);
	bytes = malloc(length);
	fms_event_encode(&event, bytes);
	ok(fms_event_decode(bytes, length, &back) && back.at == 5 && back.started_at == 5 &&
	   back.ended_at == 9, "a whole span comes back with its start and its end");
	for (int i = 0; i < FMS_PARTS; i++)
		equal = equal && back.part[i].length == event.part[i].length &&
			(back.part[i].data == NULL) == (event.part[i].data == NULL);
	ok(equal, "and so do its parts");
	free(bytes);
}

/* An event comes back from its bytes; cut or changed bytes are refused or safe. */
static void
test_event(void)
{
	FmsEvent	event = {.kind = FMS_EVENT_START, .flags = FMS_HAS_PARENT, .table = 77, .at = 5};
	FmsEvent	back;
	uint32		jsonb[4] = {0};
	char	   *bytes;
	size_t		length;
	bool		refused = true;

	SET_VARSIZE(jsonb, sizeof(jsonb));
	event.part[FMS_PART_NAME] = (FmsPart) {"name", 4};
	event.part[FMS_PART_ENTITY] = (FmsPart) {"", 0};
	event.part[FMS_PART_INPUT] = (FmsPart) {(char *) jsonb, sizeof(jsonb)};
	length = fms_event_encoded_size(&event);
	bytes = malloc(length);
	fms_event_encode(&event, bytes);
	ok(fms_event_decode(bytes, length, &back) && back.kind == event.kind && back.table == 77 &&
	   back.at == 5 && back.part[FMS_PART_NAME].length == 4 &&
	   memcmp(back.part[FMS_PART_NAME].data, "name", 4) == 0 &&
	   back.part[FMS_PART_ENTITY].data != NULL && back.part[FMS_PART_ENTITY].length == 0 &&
	   back.part[FMS_PART_TYPE].data == NULL && back.part[FMS_PART_INPUT].length == sizeof(jsonb),
	   "an event comes back as it was");
	test_whole_span(event);
	for (size_t cut = 0; cut < length; cut++)
	{
		char	   *part = malloc(cut + 1);

		memcpy(part, bytes, cut);
		refused = refused && !fms_event_decode(part, cut, &back);
		free(part);
	}
	ok(refused, "an event that is cut anywhere is refused");
	for (size_t i = 0; i < length; i++)
	{
		bytes[i] ^= 0x55;
		(void) fms_event_decode(bytes, length, &back);
		bytes[i] ^= 0x55;
	}
	ok(true, "changed bytes are read without leaving them");
	free(bytes);
}

/* A child that appends for ever; it is killed. */
static void
append_for_ever(FmsRing *ring, volatile uint64 *returned)
{
	uint64		head = 0;

	for (uint64 i = 0;; i++)
	{
		char		text[300];

		memset(text, 'a' + i % 26, sizeof(text));
		memcpy(text, &i, sizeof(i));
		head = fms_ring_append(ring, fms_ring_tail(ring), head, text, sizeof(text),
							   fms_ring_checksum(text, sizeof(text)));
		if (head == 0)
			_exit(0);
		*returned = i + 1;
	}
}

/* Whoever is killed while appending loses nothing that was appended. */
static void
test_kill(void)
{
	bool		good = true;
	int			killed_midway = 0;

	for (int round = 0; round < 200; round++)
	{
		FmsRing		ring = make_ring(8 * 1024 * 1024);
		volatile uint64 *returned = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
										 MAP_SHARED | MAP_ANONYMOUS, -1, 0);
		uint64		records;
		pid_t		child = fork();

		if (child == 0)
			append_for_ever(&ring, returned);
		while (*returned < 10)
			usleep(10);
		usleep(round * 7 % 300);
		kill(child, SIGKILL);
		waitpid(child, NULL, 0);
		(void) fms_ring_find_head(&ring, fms_ring_read, &records);
		/* the last append may be complete without having told so */
		good = good && (records == *returned || records == *returned + 1);
		killed_midway += records < 26000;
		munmap(ring.header, FMS_RING_HEADER_BYTES + 8 * 1024 * 1024);
		munmap((void *) returned, 4096);
	}
	ok(good, "200 kills lose no record whose append had returned");
	ok(killed_midway > 100, "most of the kills came in the middle");
}

/* what the threads of the stress test share */
static FmsRing stress_ring;
static pthread_mutex_t stress_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64 stress_head = 0;
static uint64 stress_each;

/* Append checked records, each telling its writer and number. */
static void *
stress_writer(void *arg)
{
	uint64		body[32];

	for (uint64 i = 0; i < stress_each; i++)
	{
		uint32		length = 16 + (i * 8) % 240;
		uint64		head = 0;

		body[0] = (uint64) (size_t) arg;
		body[1] = i;
		for (uint32 w = 2; w < length / 8; w++)
			body[w] = body[0] * 1000003 + i;
		while (head == 0)
		{
			pthread_mutex_lock(&stress_lock);
			head = fms_ring_append(&stress_ring, fms_ring_tail(&stress_ring), stress_head, body,
								   length, fms_ring_checksum(body, length));
			if (head != 0)
				stress_head = head;
			pthread_mutex_unlock(&stress_lock);
			if (head == 0)
				sched_yield();
		}
	}
	return NULL;
}

/* 16 writers and a reader: every record once, in its writer's order, not torn. */
static void
test_stress(uint64 records)
{
	pthread_t	writer[WRITERS];
	uint64		next[WRITERS] = {0};
	uint64		seen = 0;
	uint64		position = 0;
	bool		good = true;

	stress_ring = make_ring(1024 * 1024);
	stress_each = records / WRITERS;
	for (size_t w = 0; w < WRITERS; w++)
		pthread_create(&writer[w], NULL, stress_writer, (void *) w);
	while (seen < stress_each * WRITERS && good)
	{
		uint64		head;

		pthread_mutex_lock(&stress_lock);
		head = stress_head;
		pthread_mutex_unlock(&stress_lock);
		if (position == head)
			sched_yield();
		while (position < head && good)
		{
			const char *body;
			uint32		length;
			uint64		word[2];

			switch (fms_ring_read(&stress_ring, &position, head, &body, &length))
			{
				case FMS_RING_RECORD:
					break;
				case FMS_RING_PADDING:
					continue;
				default:
					good = false;
					continue;
			}
			memcpy(word, body, sizeof(word));
			good = word[0] < WRITERS && word[1] == next[word[0]] &&
				(length == 16 || *(uint64 *) (body + length - 8) == word[0] * 1000003 + word[1]);
			next[word[0]]++;
			seen++;
		}
		fms_ring_acknowledge(&stress_ring, position);
	}
	ok(good && seen == stress_each * WRITERS, "16 writers and a reader agree on every record");
	for (size_t w = 0; w < WRITERS; w++)
		pthread_join(writer[w], NULL);
}

/* Run all tests. */
int
main(int argc, char **argv)
{
	test_order();
	test_laps();
	test_forged();
	test_flips(1000, 1, "each of 1,000 flips of a bit costs at most the record that it hits");
	test_flips(20, 1000, "1,000 flips at once cost the records that they hit");
	test_hole();
	test_header();
	test_lives();
	test_guard();
	test_event();
	test_kill();
	test_stress(argc > 1 ? strtoull(argv[1], NULL, 10) : 1000000);
	printf("1..%d\n", tests);
	return failed == 0 ? 0 : 1;
}
