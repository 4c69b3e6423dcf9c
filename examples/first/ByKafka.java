import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import java.io.File;
import java.time.Duration;
import java.time.LocalDate;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.apache.avro.Schema;
import org.apache.avro.generic.GenericData;
import org.apache.avro.generic.GenericRecordBuilder;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.StringDeserializer;

/**
 * Publish a first event to the agency's own topic with Confluent's Java serialiser as it comes, and print the verdict.
 *
 * <p>Class path: io.confluent:kafka-avro-serializer (which brings Kafka's client) and its dependencies. Then
 * {@code java -cp 'jars/*' examples/first/ByKafka.java examples/first/gpk.border.crossing.jsonl}
 */
public class ByKafka {
    static final String KAFKA = System.getenv().getOrDefault("BOOTSTRAP", "127.0.0.1:9092");
    static final String REGISTRY = System.getenv().getOrDefault("REGISTRY", "http://127.0.0.1:8081");
    static final String IN = "migex.agency.gpk.border.crossing.v1";
    static final String OUT = "migex.agency.gpk.verdicts.v1";

    public static void main(String[] args) throws Exception {
        var registry = new CachedSchemaRegistryClient(REGISTRY, 10);
        Schema schema = new Schema.Parser().parse(registry.getLatestSchemaMetadata(IN + "-value").getSchema());
        JsonNode event = new ObjectMapper().readTree(new File(args[0]));
        ((ObjectNode) event.get("header")).put("record_no", "JAVA-" + System.nanoTime()); // a new record each time

        Map<String, Object> toKafka = Map.of(
            "bootstrap.servers", KAFKA, "acks", "all",
            "schema.registry.url", REGISTRY, "auto.register.schemas", false, "use.latest.version", true,
            "key.serializer", "org.apache.kafka.common.serialization.StringSerializer",
            "value.serializer", KafkaAvroSerializer.class.getName());
        var strings = new StringDeserializer();
        try (var verdicts = new KafkaConsumer<>(Map.of("bootstrap.servers", KAFKA), strings, strings);
                var producer = new KafkaProducer<String, Object>(toKafka)) {
            var place = new TopicPartition(OUT, 0);
            verdicts.assign(List.of(place));
            verdicts.seekToEnd(List.of(place));
            verdicts.position(place); // from here on: what comes after it answers us
            producer.send(new ProducerRecord<>(IN, value(schema, event))).get();
            for (var verdict : verdicts.poll(Duration.ofSeconds(30))) {
                System.out.println(verdict.value());
            }
        }
    }

    /** Return a value of an event's JSON as Avro has it; what is left out gets the contract's default. */
    static Object value(Schema schema, JsonNode json) {
        switch (schema.getType()) {
            case UNION:
                return json.isNull() ? null : value(schema.getTypes().get(1), json);
            case RECORD:
                var record = new GenericRecordBuilder(schema);
                schema.getFields().stream().filter(field -> json.has(field.name()))
                    .forEach(field -> record.set(field, value(field.schema(), json.get(field.name()))));
                return record.build();
            case ARRAY:
                List<Object> values = new ArrayList<>();
                json.forEach(each -> values.add(value(schema.getElementType(), each)));
                return values;
            case ENUM:
                return new GenericData.EnumSymbol(schema, json.asText());
            case LONG: // an instant: milliseconds since 1970
                return json.isTextual() ? OffsetDateTime.parse(json.asText()).toInstant().toEpochMilli() : json.asLong();
            case INT: // a day: days since 1970-01-01
                return json.isTextual() ? (int) LocalDate.parse(json.asText()).toEpochDay() : json.asInt();
            case BOOLEAN:
                return json.asBoolean();
            default:
                return json.asText();
        }
    }
}
