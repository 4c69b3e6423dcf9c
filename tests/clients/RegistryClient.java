import io.confluent.kafka.schemaregistry.avro.AvroSchema;
import io.confluent.kafka.schemaregistry.client.CachedSchemaRegistryClient;
import io.confluent.kafka.serializers.KafkaAvroDeserializer;
import io.confluent.kafka.serializers.KafkaAvroSerializer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.HashMap;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import org.apache.avro.generic.GenericDatumReader;
import org.apache.avro.generic.GenericRecord;
import org.apache.avro.io.DecoderFactory;

/** Confluent's Java serialiser under each of its settings: REGISTRY TOPIC SCHEMA-FILE EVENT-FILE; prints what it wrote. */
public class RegistryClient {
    static final List<Map<String, Object>> SETTINGS = List.of(
        Map.of("auto.register.schemas", true),
        Map.of("auto.register.schemas", true, "normalize.schemas", true),
        Map.of("auto.register.schemas", false),
        Map.of("auto.register.schemas", false, "use.latest.version", true));

    public static void main(String[] args) throws Exception {
        String registry = args[0];
        String topic = args[1];
        AvroSchema schema = new AvroSchema(Files.readString(Path.of(args[2])));
        var json = DecoderFactory.get().jsonDecoder(schema.rawSchema(), Files.readString(Path.of(args[3])));
        GenericRecord event = new GenericDatumReader<GenericRecord>(schema.rawSchema()).read(null, json);
        for (Map<String, Object> own : SETTINGS) {
            Map<String, Object> settings = new HashMap<>(own);
            settings.put("schema.registry.url", registry);
            var client = new CachedSchemaRegistryClient(registry, 10);
            try (var serializer = new KafkaAvroSerializer(client, settings);
                    var deserializer = new KafkaAvroDeserializer(client, settings)) {
                byte[] wire = serializer.serialize(topic, event);
                if (!event.equals(deserializer.deserialize(topic, wire))) {
                    throw new IllegalStateException("It reads something else than it wrote.");
                }
                System.out.println(HexFormat.of().formatHex(wire));
            }
        }
        String subject = topic + "-value";
        var client = new CachedSchemaRegistryClient(registry, 10);
        System.out.println(String.join(" ",
            "" + client.getAllSubjects().contains(subject),
            "" + client.getAllVersions(subject),
            "" + client.getLatestSchemaMetadata(subject).getId(),
            "" + client.getVersion(subject, schema),
            client.getCompatibility(subject),
            client.getMode(),
            "" + client.testCompatibility(subject, schema)));
    }
}
